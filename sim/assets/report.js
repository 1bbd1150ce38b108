"use strict";
(() => {
  const root = document.documentElement;
  const dark = () => (root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches);
  document.getElementById("theme").addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
  });

  const cards = [...document.querySelectorAll(".card")];
  const rows = [...document.querySelectorAll(".lanes .row")];
  const bar = document.querySelector(".filters");
  const words = bar.querySelector("input[type=search]");
  const count = bar.querySelector("output");

  // Within a kind chips add up (right or wrong); across kinds they narrow (wrong and sar).
  const apply = () => {
    const wanted = {};
    for (const chip of bar.querySelectorAll("[aria-pressed=true]")) {
      (wanted[chip.dataset.kind] ||= []).push(chip.dataset.value);
    }
    const text = words.value.trim().toLowerCase();
    let shown = 0;
    cards.forEach((card, index) => {
      const fits = Object.entries(wanted).every(([kind, values]) =>
        values.includes(card.dataset[kind])) && card.dataset.text.includes(text);
      card.hidden = !fits;
      rows[index].classList.toggle("dim", !fits);
      shown += fits;
    });
    count.textContent = `${shown} of ${cards.length}`;
  };
  bar.addEventListener("click", (event) => {
    const chip = event.target.closest("button");
    if (!chip) return;
    chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
    apply();
  });
  words.addEventListener("input", apply);
  bar.querySelector("#veil").addEventListener("change", (event) => {
    document.body.classList.toggle("noveil", !event.target.checked);
  });
})();
