// What stands behind the subject: chosen here, seen at once, and put behind it by the service at the end.

import { icon, make } from "../dom.js";

const COLOURS = [
  ["#ffffff", "White"], ["#f1f2f4", "Light grey"], ["#1b1f27", "Near black"], ["#dbe7ff", "Pale blue"],
  ["#fbe3d6", "Peach"], ["#d8f0e0", "Mint"], ["#ffd84d", "Yellow"],
];

export class Background {
  colour = null;
  /** A File of the person's own. */
  picture = null;
  #address = null;

  /** `onChange({colour, picture})`, the picture as an address. */
  constructor(onChange) {
    this.onChange = onChange;
    const custom = make("input", { type: "color", value: "#7c9cff", "aria-label": "Colour of your own" });
    const chooser = make("input", { type: "file", accept: "image/*", hidden: true });
    this.ownColour = this.#swatch("own", "Colour of your own", () => this.#set({ colour: custom.value }), custom);
    this.ownPicture = this.#swatch("picture", "Picture of your own", () => this.#set({ picture: this.picture }));
    this.ownPicture.label.hidden = true;
    const choose = make("button", { type: "button", className: "swatch", title: "Choose a picture", "aria-label": "Choose a picture as background", onclick: () => chooser.click() }, icon("picture"));
    custom.addEventListener("input", () => {
      this.ownColour.input.checked = true;
      this.ownColour.label.style.backgroundColor = custom.value;
      this.#set({ colour: custom.value });
    });
    this.ownColour.label.style.backgroundColor = custom.value;
    chooser.addEventListener("change", () => {
      if (chooser.files[0]) this.#own(chooser.files[0]);
      chooser.value = "";
    });
    this.none = this.#swatch("none", "Transparent", () => this.#set({}));
    this.none.label.classList.add("checkered");
    this.none.input.checked = true;
    this.element = make("fieldset", { className: "section" },
      make("legend", {}, "Background"),
      make("div", { className: "swatches" },
        this.none.label, COLOURS.map(([colour, name]) => this.#plain(colour, name)), this.ownColour.label, this.ownPicture.label, choose),
      chooser);
  }

  #plain(colour, name) {
    const { label } = this.#swatch(colour, name, () => this.#set({ colour }));
    label.style.backgroundColor = colour;
    return label;
  }

  #swatch(value, name, choose, ...inside) {
    const input = make("input", { type: "radio", name: "background", value, "aria-label": name });
    input.addEventListener("change", choose);
    return { input, label: make("label", { className: "swatch", title: name }, input, ...inside) };
  }

  #own(file) {
    URL.revokeObjectURL(this.#address);
    this.#address = URL.createObjectURL(file);
    this.ownPicture.input.checked = true;
    this.ownPicture.label.style.backgroundImage = `url("${this.#address}")`;
    this.ownPicture.label.hidden = false;
    this.#set({ picture: file });
  }

  #set({ colour = null, picture = null }) {
    this.colour = colour;
    if (picture) this.picture = picture;
    this.usesPicture = picture !== null;
    this.onChange({ colour, picture: picture && this.#address });
  }

  /** As the service wants it: parameters, and the file that goes into the form. */
  asked() {
    if (this.usesPicture) return { parameters: {}, file: this.picture };
    return { parameters: this.colour ? { background_color: this.colour.slice(1) } : {}, file: null };
  }
}
