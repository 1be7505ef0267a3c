// How pictures are cut out: model, edges, crop and shadow. Kept for the next visit.

import { bytes, make } from "../dom.js";

const KEY = "studio.options";
const EDGES = [
  ["", "As they come", "Fast, and right for most pictures."],
  ["decontaminate", "Clean colours", "Takes the old background out of soft edges."],
  ["alpha_matting", "Finer hair", "For hair and fur. Takes a few seconds."],
];
const COMMERCIAL = { yes: "Commercial use is allowed.", no: "Not for commercial use.", unknown: "Whether commercial use is allowed is not known." };

export class Options {
  #models = [];

  /** `onChange()` after each choice. */
  constructor(onChange) {
    this.onChange = onChange;
    this.kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    this.model = make("select", { className: "input", id: "model", "aria-describedby": "model-hint" });
    this.hint = make("p", { className: "hint", id: "model-hint" });
    this.edges = EDGES.map(([value, name, hint]) => {
      const input = make("input", { type: "radio", name: "edges", value, checked: (this.kept.edges ?? "") === value });
      return { input, label: make("label", { className: "switch" }, input, make("span", {}, name, make("span", { className: "hint block" }, hint))) };
    });
    this.crop = make("input", { type: "checkbox", id: "crop", checked: this.kept.crop === true });
    this.shadow = make("input", { type: "checkbox", id: "shadow", checked: this.kept.shadow === true });
    this.element = make("details", { className: "section options" },
      make("summary", {}, "Options", make("span", { className: "soft small", id: "options-said" })),
      make("div", { className: "field" }, make("label", { htmlFor: "model" }, "Model"), this.model, this.hint),
      make("fieldset", {}, make("legend", {}, "Edges"), this.edges.map(({ label }) => label)),
      make("fieldset", {}, make("legend", {}, "Result"),
        make("label", { className: "switch" }, this.crop, "Crop to the subject"),
        make("label", { className: "switch" }, this.shadow, "Soft shadow")));
    this.element.addEventListener("change", () => { this.#write(); this.#say(); this.onChange(); });
    this.#say();
  }

  /** `body`: the answer of /models. */
  offer({ default: usual, models }) {
    this.#models = models.filter(({ usable }) => usable);
    const option = ({ name, installed, bytes: size }) =>
      make("option", { value: name }, name === usual ? `${name} (usual)` : name, installed || !size ? "" : ` – ${bytes(size)}`);
    const group = (label, here) => make("optgroup", { label }, this.#models.filter(({ installed }) => installed === here).map(option));
    this.model.replaceChildren(group("Ready", true), group("Downloaded at first use", false));
    this.model.value = this.#models.some(({ name }) => name === this.kept.model) ? this.kept.model : usual;
    this.usual = usual;
    this.#say();
  }

  /** Parameters of a submit. */
  chosen() {
    const parameters = {};
    // Left out until the models are known: then the service takes its own default.
    if (this.model.value) parameters.model = this.model.value;
    const edge = this.edges.find(({ input }) => input.checked)?.input.value;
    if (edge) parameters[edge] = "true";
    if (this.crop.checked) Object.assign(parameters, { crop: "true", crop_margin: "5%" });
    if (this.shadow.checked) parameters.shadow = "true";
    return parameters;
  }

  #say() {
    const model = this.#models.find(({ name }) => name === this.model.value);
    if (model) {
      const first = model.installed ? "" : ` The first use downloads it${model.bytes ? ` (${bytes(model.bytes)})` : ""}; pictures wait for that.`;
      this.hint.textContent = `${model.summary} Licence: ${model.licence.replace(/\.$/, "")}. ${COMMERCIAL[model.commercial_use]}${first}`;
      this.hint.classList.toggle("warned", model.commercial_use !== "yes");
    }
    const edge = EDGES.find(([value]) => value && this.chosen()[value]);
    const said = [this.model.value !== this.usual && this.model.value, edge?.[1], this.crop.checked && "crop", this.shadow.checked && "shadow"];
    this.element.querySelector("#options-said").textContent = said.filter(Boolean).join(", ").replace(/^./, (first) => first.toUpperCase()) || "Usual model, edges as they come";
  }

  #write() {
    this.kept = {
      // The usual model is not held on to: the service may get another one.
      model: this.model.value === this.usual ? null : this.model.value,
      edges: this.edges.find(({ input }) => input.checked)?.input.value, crop: this.crop.checked, shadow: this.shadow.checked,
    };
    localStorage.setItem(KEY, JSON.stringify(this.kept));
  }
}
