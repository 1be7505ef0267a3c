// Retry, cancel and priority: for one job, for a selection, or for whatever matches the filter.

import { getJson, postJson } from "../api.js";
import { confirm, progress } from "./confirm.js";
import { filterOf, inWords } from "./filter.js";
import { button, count, find, icon, make, toast } from "../dom.js";

const TOLD = { retry: "queued again", cancel: "cancelled", priority: "moved" };

/** A button for each act, by its kind. */
export const actButtons = (run) => ({
  retry: button("compact", () => run("retry"), icon("retry"), "Retry"),
  cancel: button("compact danger", () => run("cancel"), icon("close"), "Cancel"),
  priority: button("compact", () => run("priority"), "Priority…"),
});

/**
 * Ask, act, and say what happened. `scope` is {jobs: [view, …]} or {filter: view of the address}.
 * Resolves to whether anything was tried.
 */
export async function act(kind, scope) {
  try {
    const counts = scope.jobs ? countJobs(scope.jobs) : await countFilter(scope.filter);
    const order = await QUESTIONS[kind](counts, scope);
    if (!order) return false;
    tell(order.told ?? TOLD[kind], await run({ ...order, as_of: counts.as_of }, scope));
    return true;
  } catch (problem) {
    toast(problem.message);
    return problem.code !== "offline";
  }
}

/** How many of the jobs are in which state, as far as acts care. */
function countJobs(jobs) {
  const counts = { pending: 0, processing: 0, retriable: 0, ended: 0, total: jobs.length };
  for (const job of jobs) {
    counts[job.status in counts ? job.status : "ended"] += 1;
    if (job.status === "failed" || (job.status === "completed" && job.progress.failed > 0)) counts.retriable += 1;
  }
  return counts;
}

async function countFilter(view) {
  const filter = filterOf(view);
  const moments = [];
  let exact = true;
  const total = async (status) => {
    if (filter.status && filter.status !== status) return 0;
    const page = await getJson(`/queue/jobs?${new URLSearchParams({ ...filter, status, limit: 1 })}`);
    exact &&= page.total_is_exact;
    moments.push(page.as_of);
    return page.total;
  };
  const [pending, processing, failed, completed, cancelled] = await Promise.all(["pending", "processing", "failed", "completed", "cancelled"].map(total));
  const ended = failed + completed + cancelled;
  return { pending, processing, retriable: failed, partly: completed, ended, total: pending + processing + ended, exact, as_of: moments.sort()[0] };
}

const which = ({ filter }) => (filter && inWords(filter) ? `That is every job that matches: ${inWords(filter)}.` : filter ? "That is every job of the queue." : "");
const these = (number, exact = true) => (number === 1 ? "this job" : `${exact ? "" : "more than "}${count(number, "job")}`);
const stay = (number, why) => (number ? `${count(number, "job")} ${number === 1 ? "stays as it is" : "stay as they are"}: ${why}.` : "");

const QUESTIONS = {
  async cancel({ pending, processing, ended, total, exact }, scope) {
    if (!pending && !processing) return nothing("Nothing to cancel", total === 1 ? "This job has ended already." : "All of these jobs have ended already.");
    const force = make("input", { type: "checkbox", id: "force", checked: !pending });
    const asks = processing > 0 && pending > 0;
    const agreed = await confirm({
      title: pending ? `Cancel ${these(pending, exact)}?` : `Stop ${these(processing, exact)}?`,
      text: [
        pending ? `${pending === 1 ? "It waits" : "They wait"}, and will not be begun.` : "What is finished can still be fetched. The rest is stopped at once, also pictures being worked on.",
        stay(ended, "ended already"), which(scope), "A cancelled job cannot be taken up again."],
      extras: asks ? [make("label", { className: "switch" }, force, make("span", {}, `Also stop the ${count(processing, "job that has begun", "jobs that have begun")}. What they finished can still be fetched.`))] : [],
      yes: pending ? "Cancel jobs" : "Stop", no: "Keep", danger: true,
    });
    return agreed && { act: "cancel", force: force.checked };
  },
  async retry({ retriable, partly = 0, pending, processing, total, exact }, scope) {
    if (!retriable && !partly) return nothing("Nothing to retry", "Only jobs that have ended with failed files can be tried again.");
    const agreed = await confirm({
      title: retriable ? `Retry ${these(retriable, exact)}?` : "Retry failed files?",
      text: ["The failed files are queued again with fresh attempts. Pictures that succeeded keep their results.",
        partly ? `Failed files of the ${count(partly, "completed job")} are tried again too.` : "",
        partly ? "" : stay(total - retriable, pending + processing === total - retriable ? "not ended yet" : "nothing of them failed"), which(scope)],
      yes: "Retry",
    });
    return agreed && { act: "retry" };
  },
  async priority({ pending, processing, ended, total, exact }, scope) {
    if (!pending && !processing) return nothing("Nothing to move", total === 1 ? "This job has ended already." : "All of these jobs have ended already.");
    const choices = [["high", "before everything else"], ["normal", "in the order of submits"], ["low", "when nothing else waits"]];
    const shared = scope.jobs?.every((job) => job.priority === scope.jobs[0].priority) ? scope.jobs[0].priority : "high";
    const radios = choices.map(([value, meaning]) => make("label", { className: "switch" },
      make("input", { type: "radio", name: "priority", value, checked: value === shared }), make("span", {}, make("b", {}, value), `, ${meaning}`)));
    const agreed = await confirm({
      title: `Priority of ${these(pending + processing, exact)}`,
      text: ["Files that still wait are moved. What is being worked on is not interrupted.", stay(ended, "ended already"), which(scope)],
      extras: [make("fieldset", {}, make("legend", { className: "hush" }, "Priority"), ...radios)],
      yes: "Set priority",
    });
    const chosen = radios.map((label) => find("input", label)).find((radio) => radio.checked).value;
    return agreed && { act: "priority", priority: chosen, told: `given ${chosen} priority` };
  },
};

async function nothing(title, sentence) {
  await confirm({ title, text: [sentence], no: "Close" });
  return null;
}

/** One job by its own address, so that a refusal says why; several in as many calls as it takes. */
async function run({ act: name, priority, force, as_of }, { jobs, filter }) {
  if (jobs?.length === 1) {
    const query = name === "priority" ? `?priority=${priority}` : force ? "?force=true" : "";
    await postJson(`/queue/job/${jobs[0].id}/${name}${query}`);
    return { done: 1, refused: 0, reasons: [], broken: "" };
  }
  const order = { act: name, priority, force };
  // What comes in after the question is not meant.
  const body = jobs ? { ...order, ids: jobs.map((job) => job.id) } : { ...order, filter: filterOf(filter), as_of };
  const sum = { done: 0, refused: 0, reasons: [], broken: "" };
  let shown = null;
  try {
    for (;;) {
      const answer = await postJson("/queue/jobs/act", body);
      sum.done += answer.changed;
      sum.refused += answer.refused_count;
      sum.reasons.push(...answer.refused);
      if (!answer.left) return sum;
      shown ??= progress(`${count(sum.done + sum.refused + answer.left, "job")} to go through`);
      shown.show(sum.done + sum.refused, answer.left);
      if (shown.stopped) return { ...sum, broken: "You stopped it there." };
      body.as_of = answer.as_of;
    }
  } catch (problem) {
    if (!sum.done && !sum.refused) throw problem;
    return { ...sum, broken: `Then it broke off: ${problem.message}` };
  } finally {
    shown?.close();
  }
}

function tell(what, { done, refused, reasons, broken }) {
  const text = `${count(done, "job")} ${what}.${refused ? ` ${refused.toLocaleString("en")} refused.` : ""} ${broken}`;
  toast(text.trim(), refused ? { label: "Why?", run: () => showReasons(refused, reasons) } : undefined);
}

const showReasons = (refused, reasons) => confirm({
  title: `${count(refused, "job")} refused`,
  text: [refused > reasons.length ? `The first ${reasons.length}:` : ""],
  extras: [make("ul", { className: "reasons small" }, ...reasons.slice(0, 20).map(({ job_id, reason }) => make("li", {}, make("code", {}, job_id.slice(0, 8)), ` ${reason}`)))],
  no: "Close",
});
