// Not a module: it runs before the first paint, so that nobody who chose dark is shown light first.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
