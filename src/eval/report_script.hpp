// The threshold explorer's script: numbers it shows come from the page, and it fetches nothing.
#pragma once

#include <string_view>

namespace sslmeme::detail {

// The page's policy names this text by its digest, so that it alone runs.
inline constexpr std::string_view explorer_script = R"js(
"use strict";
for (const figure of document.querySelectorAll(".explorer")) {
  const live = figure.querySelector(".live"), slider = live.querySelector("input"), pick = live.querySelector("select");
  const models = [...live.querySelectorAll(".model")].map((element) => ({
    element,
    tuned: Number(element.dataset.tuned),
    cursor: element.querySelector(".cursor"),
    points: element.dataset.counts.split(" ").map((point) => point.split(",").map(Number)),
  }));
  const put = (name, text) => { live.querySelector(`[data-show="${name}"]`).textContent = text; };
  const ratio = (part, whole) => (whole === 0 ? NaN : part / whole);
  const percent = (value) => (Number.isNaN(value) ? "–" : (100 * value).toFixed(1) + " %");
  const shown = () => models[pick ? pick.selectedIndex : 0];
  const draw = () => {
    const model = shown(), [threshold, tp, fp, tn, fn] = model.points[slider.value];
    const all = tp + fp + tn + fn, precision = ratio(tp, tp + fp), recall = ratio(tp, tp + fn);
    const figures = {
      precision, recall, f1: ratio(2 * tp, 2 * tp + fp + fn), accuracy: ratio(tp + tn, all), flagged: ratio(tp + fp, all),
    };
    for (const [name, value] of Object.entries({ tp, fp, tn, fn })) put(name, value.toLocaleString("en"));
    for (const [name, value] of Object.entries(figures)) {
      put(name, percent(value));
      live.querySelector(`[data-bar="${name}"]`).style.width = 100 * (value || 0) + "%";
    }
    const text = threshold.toFixed(3).replace(/0$/, "");
    put("threshold", text);
    slider.setAttribute("aria-valuetext",
      `threshold ${text}: precision ${percent(precision)}, recall ${percent(recall)}, ${percent(figures.flagged)} flagged`);
    model.cursor.setAttribute("transform", `translate(${340 * Math.min(threshold, 1)} 0)`);
  };
  const choose = () => {
    for (const model of models) model.element.hidden = model !== shown();
    slider.max = shown().points.length - 1;
    slider.value = shown().tuned;
    draw();
  };
  slider.addEventListener("input", draw);
  if (pick) pick.addEventListener("change", choose);
  live.querySelector("button").addEventListener("click", choose);
  live.hidden = false;
  choose();
}
)js";

}  // namespace sslmeme::detail
