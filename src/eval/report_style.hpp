// The style sheet of the report.
#pragma once

#include <string_view>

namespace sslmeme::detail {

// The colours of lines, s0 … s7, are told apart with normal vision and with each kind of colour blindness (CIE Lab
// distance of at least 22 after Machado et al. 2009, full severity); text has a contrast of at least 4.5.
inline constexpr std::string_view report_style = R"css(
:root {
  color-scheme: light dark;
  --page: #fbfaf7; --card: #ffffff; --ink: #1d2025; --soft: #5c6370; --rule: #dcd9d1; --grid: #e9e6df; --accent: #1f5fc4;
  --good: #24693f; --bad: #b02c41; --good-wash: #e7f3ea; --bad-wash: #fbe9eb; --chip: #f1eee7;
  --s0: #1f5fc4; --s1: #c2500c; --s2: #1b9866; --s3: #c76ba2; --s4: #1c384a; --s5: #761ff9; --s6: #6c1313; --s7: #64037c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1b1e24; --ink: #e6e4df; --soft: #a0a6b1; --rule: #353a44; --grid: #292d35; --accent: #8ab8ff;
    --good: #7ccf97; --bad: #ff8a98; --good-wash: #1c3325; --bad-wash: #40212a; --chip: #262a32;
    --s0: #74b0ff; --s1: #ff9a52; --s2: #b7f0a8; --s3: #dd3cbc; --s4: #2ff0f2; --s5: #876afb; --s6: #fa385f; --s7: #e3dc14;
  }
}
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; max-width: 76rem; padding: 3.5rem clamp(1rem, 4vw, 3rem) 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word;
}
h1, h2, .highlights b { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Noto Serif", "DejaVu Serif", Georgia, serif; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); font-weight: 600; line-height: 1.15; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 1.4rem; font-weight: 600; line-height: 1.25; margin: 3.5rem 0 1.2rem; padding-top: 1rem; border-top: 1px solid var(--rule); scroll-margin-top: 1rem; }
h3, h4 { font-size: 1rem; font-weight: 600; line-height: 1.35; margin: 0; }
h4 { margin-bottom: .5rem; }
p { margin: .75rem 0; max-width: 44rem; }
.subtitle { color: var(--soft); font-size: 1.125rem; margin-top: .6rem; }
nav { margin: 1.5rem 0 2rem; font-size: .9375rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; list-style: none; margin: 0; padding: 0; }
a { color: var(--accent); text-underline-offset: .18em; text-decoration-thickness: 1px; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 2px; }
figure { margin: 0; }
section > figure + figure { margin-top: 2.5rem; }
figcaption { margin-bottom: .9rem; }
figcaption p { color: var(--soft); font-size: .9375rem; line-height: 1.5; margin: .25rem 0 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 25rem), 1fr)); gap: 1.5rem; }
.panel { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1.2rem 1.3rem 1rem; max-width: 42rem; min-width: 0; display: flex; flex-direction: column; }
.panel > svg.chart { margin-top: auto; }

.highlights { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); margin: 0 0 2rem; border-block: 1px solid var(--rule); }
.highlights div { padding: 1rem 1.4rem 1.1rem 0; }
.highlights dt { color: var(--soft); font-size: .875rem; }
.highlights dd { margin: 0; }
.highlights b { display: block; font-size: 2.1rem; font-weight: 600; line-height: 1.2; letter-spacing: -.01em; font-variant-numeric: lining-nums tabular-nums; }
.highlights span { display: block; color: var(--soft); font-size: .875rem; line-height: 1.4; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9688rem; }
caption { text-align: left; font-weight: 600; padding: 1rem 0 .3rem; }
th, td { padding: .55rem .9rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
thead th, thead td { color: var(--soft); font-weight: 500; font-size: .8125rem; vertical-align: bottom; border-bottom-color: var(--soft); }
th:first-child { text-align: left; white-space: normal; min-width: 9.5rem; padding-left: 0; }
thead th { white-space: normal; min-width: 5rem; }
tbody th { font-weight: 500; }
th:last-child, td:last-child { padding-right: 0; }
td.spark { width: 6.5rem; padding: 0; }
#figure-table td .plain { display: block; line-height: 1.25; }
td .plain { color: var(--soft); font-weight: 400; font-size: .875rem; }
td.best { font-weight: 700; }
td.same { color: var(--soft); }
#figure-tests table { width: auto; }
.spark svg { display: block; width: 6rem; height: 1.4rem; margin: 0 auto; }
.spark .bar { fill: var(--accent); opacity: .28; }
.spark .mean { fill: var(--accent); }
.spark .range { stroke: var(--accent); stroke-width: 1.6; }
.spark .half { stroke: var(--soft); stroke-width: 1; }

svg.chart, svg.map { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .axis { fill: var(--ink); font-size: 11px; }
.grid path { stroke: var(--grid); stroke-width: 1; fill: none; }
.grid .chance { stroke: var(--soft); stroke-dasharray: 2 4; }
.ticks path { stroke: var(--soft); stroke-width: 1; fill: none; }
.line { fill: none; stroke: var(--c); stroke-width: 1.9; stroke-linejoin: round; stroke-linecap: round; }
.dashed .line { stroke-dasharray: 5 4; }
.band { fill: var(--c); opacity: .13; }
.bars { fill: none; stroke: var(--c); stroke-width: 1.3; }
.dot { fill: var(--card); stroke: var(--c); stroke-width: 1.6; }
.hit { fill: transparent; }
.hit:hover { fill: var(--c); fill-opacity: .3; }
.bin { fill: var(--c); stroke: var(--card); stroke-width: 1; }
.gap { stroke: var(--c); stroke-width: 1; opacity: .45; }
.threshold, .cursor { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 4 3; fill: none; }
.cursor { stroke-dasharray: none; stroke-width: 1.6; }
.class-harmful { --c: var(--s1); } .class-harmless { --c: var(--s0); } .soft { --c: var(--soft); }
rect, .map .class-harmful, .map .class-harmless { fill: var(--c, currentColor); }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); } .s7 { --c: var(--s7); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 0 0 .8rem; padding: 0; font-size: .875rem; }
.legend .key { width: 1.4rem; height: .5rem; margin-right: .45rem; vertical-align: .12em; }
.legend .key.map { width: 1rem; height: .875rem; vertical-align: -.1em; display: inline; }
.legend .note { color: var(--soft); font-variant-numeric: tabular-nums; white-space: nowrap; }
.map path { stroke: var(--card); stroke-width: .8; fill-opacity: .8; }
.map .mistaken { fill: var(--card); fill-opacity: 1; stroke: var(--c); stroke-width: 2; }
.map path:hover { stroke: var(--ink); stroke-width: 2; }

.explorer .live { max-width: none; }
.controls { display: flex; flex-wrap: wrap; align-items: center; gap: .8rem 1.6rem; padding-bottom: 1.1rem; margin-bottom: 1.2rem; border-bottom: 1px solid var(--grid); }
.controls select, .controls button { font: inherit; color: var(--ink); background: var(--chip); border: 1px solid var(--rule); border-radius: 6px; padding: .35rem .7rem; max-width: 100%; }
.controls button { cursor: pointer; }
.controls button:hover { border-color: var(--accent); }
.slide { flex: 1 1 18rem; display: grid; grid-template-columns: auto 3.2rem 1fr; align-items: center; gap: .6rem; }
.slide output { font-weight: 600; font-variant-numeric: tabular-nums; }
input[type="range"] { width: 100%; height: 1.6rem; margin: 0; accent-color: var(--accent); }
.halves { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1.5rem 3rem; align-items: center; }
.confusion { margin-bottom: 1.4rem; table-layout: fixed; }
.confusion tr > :first-child { min-width: 0; width: 24%; }
.confusion td { text-align: left; white-space: normal; padding: .7rem .9rem; }
.confusion thead th { text-align: left; }
.confusion thead th:not(:first-child) { padding-left: .9rem; }
.confusion b { display: block; font-size: 1.5rem; line-height: 1.2; font-weight: 600; }
.confusion span { font-size: .8125rem; line-height: 1.3; }
.confusion .good { background: var(--good-wash); color: var(--good); }
.confusion .bad { background: var(--bad-wash); color: var(--bad); }
.meters { display: grid; gap: .5rem; margin: 0; }
.meters div:not(.scale) { display: grid; grid-template-columns: 6rem 1fr; align-items: center; }
.meters dd { display: grid; grid-template-columns: 4.6rem 1fr; align-items: center; margin: 0; font-variant-numeric: tabular-nums; }
.meters .scale { margin: 0; }
.meters .scale i { background: var(--accent); }

.memes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 13rem), 1fr)); gap: 1.1rem; list-style: none; margin: 0; padding: 0; }
.meme { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; }
.shot { aspect-ratio: 1; display: grid; place-items: center; overflow: hidden; background: var(--grid); }
.shot > img { display: block; width: 100%; height: 100%; object-fit: contain; min-height: 0; }
.frame { position: relative; overflow: hidden; max-width: 100%; max-height: 100%; }
.frame.wide { width: 100%; } .frame.tall { height: 100%; }
.frame img, .frame svg { position: absolute; inset: 0; width: 100%; height: 100%; }
.heat { transition: opacity .2s; }
.heat g { filter: blur(.35px); }
.heat .dark { fill: #000; } .heat .hot { fill: #ff5a1f; }
.heat .outline { fill: none; stroke: #fff; stroke-width: 2px; filter: drop-shadow(0 0 1.5px #000); }
.heat-switch { accent-color: var(--accent); margin: 0 .5rem 1rem 0; vertical-align: -.08em; }
.heat-switch:not(:checked) ~ .memes .heat, .frame:hover .heat { opacity: 0; }
.meme .words { margin: 0; padding: .75rem .85rem .3rem; line-height: 1.5; font-size: .9688rem; flex: 1; }
.words .for, .words .against { border-radius: 3px; padding: .05em .15em; margin: 0 -.05em; text-decoration: underline dotted color-mix(in srgb, var(--ink) var(--a, 0%), transparent) 2px; text-underline-offset: .3em; }
.words .for { background: color-mix(in srgb, var(--s1) var(--w), transparent); box-shadow: inset 0 -2px color-mix(in srgb, var(--s1) var(--w), transparent); }
.words .against { background: color-mix(in srgb, var(--s0) var(--w), transparent); box-shadow: inset 0 2px color-mix(in srgb, var(--s0) var(--w), transparent); }
.meme .verdict { margin: 0; padding: .45rem .85rem; font-size: .8125rem; line-height: 1.35; }
.meme > .verdict:not(.wrong *, .right *) { color: var(--soft); }
.verdict span { float: right; color: var(--soft); }
.meme.wrong > .verdict { background: var(--bad-wash); color: var(--bad); }
.meme.right > .verdict { background: var(--good-wash); color: var(--good); }
.meme .score { padding: .3rem .85rem .7rem; font-size: .8125rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.scale { position: relative; height: .4rem; border-radius: .2rem; background: var(--grid); margin-bottom: .35rem; }
.scale i { position: absolute; inset: 0 auto 0 0; border-radius: .2rem; background: var(--soft); }
.wrong .scale i { background: var(--bad); }
.right .scale i { background: var(--good); }
.scale b { position: absolute; top: -.15rem; bottom: -.15rem; width: 2px; margin-left: -1px; background: var(--ink); }
.score span { float: right; }
.without, .opinions { margin: 0; padding: 0 .85rem .6rem; font-size: .8125rem; font-variant-numeric: tabular-nums; }
.without { display: flex; flex-wrap: wrap; gap: .1rem 1rem; color: var(--soft); }
.without div { display: flex; gap: .35rem; }
.without dd, .opinions dd { margin: 0; }
.opinions { display: grid; gap: .35rem; padding-top: .3rem; }
.opinions dt { line-height: 1.3; }
.opinions dd { display: grid; grid-template-columns: 3.6rem minmax(0, 1fr); align-items: center; }
.opinions dd .scale { margin: 0; }
.opinions .right dd { color: var(--good); } .opinions .wrong dd { color: var(--bad); }
details { margin-top: 1.2rem; }
details .panels { margin-top: 1.2rem; }
summary { cursor: pointer; color: var(--accent); }
pre { overflow-x: auto; padding: 1rem 1.2rem; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; font: .8125rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
footer { margin-top: 4rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 46rem) {
  .halves { grid-template-columns: minmax(0, 1fr); }
}
@media (max-width: 40rem) {
  body { padding-top: 2rem; }
  .spark { display: none; }
  td .plain { display: block; font-size: .8125rem; line-height: 1.2; }
  thead th { white-space: normal; min-width: 4.4rem; }
  .scroll th:first-child { min-width: 7.5rem; position: sticky; left: 0; background: var(--page); }
  svg text, svg .axis { font-size: 12.5px; }
  .panel { padding: 1rem; }
  th, td { padding-inline: .55rem; }
  .memes { grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr)); gap: .8rem; }
  .slide { grid-template-columns: auto 1fr; }
  .slide input { grid-column: 1 / -1; }
  .confusion td, .confusion thead th:not(:first-child) { padding-inline: .6rem; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } .heat { transition: none; } }
@media print { body { max-width: none; } .meme, .panel { break-inside: avoid; } }
)css";

}  // namespace sslmeme::detail
