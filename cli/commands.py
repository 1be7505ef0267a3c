"""One function for each command but `submit`; it returns whether what was asked for happened."""

import argparse
from pathlib import Path

from cli.client import Client, job_path
from cli.follow import follow, without_result
from cli.results import Results, checked_folder
from cli.screen import Screen
from cli.trouble import Json, Trouble

MOST_JOBS_A_PAGE = 100


def status(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Show a job."""
    job = client.job(args.id)
    screen.job(job, f"  {job['model']}  {job['created_at']}")
    screen.failures(without_result(job))
    screen.answer(job)
    return True


def monitor(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Follow jobs until they have ended."""
    jobs = list(follow(client, screen, args.ids, as_stream=True))
    for job in jobs:
        screen.failures(without_result(job))
    return all(job["status"] == "completed" and not job["progress"]["failed"] for job in jobs)


def list_jobs(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Show jobs, the newest first."""
    query = {"status": args.status, "limit": MOST_JOBS_A_PAGE if args.all else args.limit}
    page = client.ask("GET", "/queue/jobs", "jobs", "next", params=query)
    jobs = page["jobs"]
    while args.all and page["next"]:
        page = client.ask("GET", "/queue/jobs", "jobs", "next", params=query | {"cursor": page["next"]})
        jobs += page["jobs"]
    for job in jobs:
        screen.job(job, f"  {job['model']}  {job['created_at']}  {', '.join(job['filenames'][:3])}")
    screen.answer(page | {"jobs": jobs})
    return True


def stats(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Count the jobs of each status."""
    answer = client.ask("GET", "/queue/stats", "stats", "worker")
    for name, count in answer["stats"].items():
        screen.line(f"{name:<22}{count}")
    for name, value in answer["worker"].items():
        screen.line(f"{f'worker {name}':<22}{value_in_words(value)}")
    screen.answer(answer)
    return True


def value_in_words(value: object) -> str:
    """A value of JSON as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | dict):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def cancel(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Cancel a job that has not begun."""
    answer = client.ask("POST", f"{job_path(args.id)}/cancel", "message", params={"force": args.force})
    screen.line(answer["message"])
    screen.answer(answer)
    return True


def retry(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Queue the failed pictures of a job again."""
    answer = client.ask("POST", f"{job_path(args.id)}/retry", "message")
    screen.line(answer["message"])
    screen.answer(answer)
    return True


def download(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Fetch the results of a job."""
    results = Results(client, screen, checked_folder(args.out))
    job = client.job(args.id)
    if not job["results"]:
        raise Trouble(f"Job {args.id} has no results: it is {job['status']}.")
    # The last part of each name alone, so that nothing is written outside the folder.
    results.save(job, [Path(Path(entry["filename"]).name or "picture") for entry in job["results"]])
    failed = without_result(job) + results.failed
    screen.failures(failed)
    screen.answer({"job_id": args.id, "saved": results.saved, "failed": failed})
    return not failed


def models(client: Client, screen: Screen, args: argparse.Namespace) -> bool:
    """Show the models that a submit can name."""
    answer = client.ask("GET", "/models", "models")
    width = max((len(model["licence"]) for model in answer["models"]), default=0) + 2
    for model in answer["models"]:
        commercial = f"commercial use: {model['commercial_use']}"
        screen.line(f"{model['name']:<24}{model['licence']:<{width}}{commercial:<25}{state_of_model(model)}")
    screen.answer(answer)
    return True


def state_of_model(model: Json) -> str:
    """Whether a model can be used at once, on demand or not at all; and whether it is the default."""
    if not model["usable"]:
        state = f"not usable: {model['reason']}"
    elif model["installed"]:
        state = "installed"
    else:
        state = "downloaded when needed"
    return f"default, {state}" if model["default"] else state
