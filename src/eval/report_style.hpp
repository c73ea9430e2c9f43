// The style sheet of the report.
#pragma once

#include <string_view>

namespace sslmeme::detail {

inline constexpr std::string_view report_style = R"css(
:root {
  color-scheme: light dark;
  --page: #fbfaf7; --card: #ffffff; --ink: #1d2025; --soft: #5c6370; --rule: #dcd9d1; --grid: #e9e6df; --accent: #2f5fd0;
  --good: #2c7a4b; --bad: #c0354a; --good-wash: #e7f3ea; --bad-wash: #fbe9eb;
  --s0: #2f5fd0; --s1: #d1495b; --s2: #00798c; --s3: #b5730b; --s4: #7b4fb5; --s5: #4a7c2c; --s6: #8a4b2d; --s7: #5a6270;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1b1e24; --ink: #e6e4df; --soft: #a0a6b1; --rule: #353a44; --grid: #292d35; --accent: #8aaeff;
    --good: #7ccf97; --bad: #ff8a98; --good-wash: #1c3325; --bad-wash: #40212a;
    --s0: #7aa2ff; --s1: #ff8a98; --s2: #4fd0d9; --s3: #f0b453; --s4: #c09cff; --s5: #93cf6a; --s6: #d9a184; --s7: #b3bccb;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; max-width: 74rem; padding: 3.5rem clamp(1rem, 4vw, 3rem) 4rem; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", sans-serif; overflow-wrap: break-word;
}
h1, h2 { font-family: "Iowan Old Style", "Palatino Linotype", Palatino, "Noto Serif", "DejaVu Serif", Georgia, serif; text-wrap: balance; }
h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); font-weight: 600; line-height: 1.15; letter-spacing: -.01em; margin: 0; }
h2 { font-size: 1.35rem; font-weight: 600; line-height: 1.25; margin: 3.5rem 0 1rem; padding-top: 1rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1rem; font-weight: 600; line-height: 1.35; margin: 0; }
p { margin: .75rem 0; max-width: 44rem; }
.subtitle { color: var(--soft); font-size: 1.125rem; margin-top: .6rem; }
nav { margin: 1.5rem 0 2rem; font-size: .9375rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.3rem; list-style: none; margin: 0; padding: 0; }
a { color: var(--accent); text-underline-offset: .18em; text-decoration-thickness: 1px; }
a:focus-visible, summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; border-radius: 2px; }
figure { margin: 0; }
figcaption { margin-bottom: .9rem; }
figcaption p { color: var(--soft); font-size: .9375rem; line-height: 1.5; margin: .25rem 0 0; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1.5rem; }
.panel { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 1.2rem 1.3rem 1rem; max-width: 40rem; }
.aside { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 30rem); gap: 1.5rem 3rem; max-width: none; padding: 1.6rem 1.8rem; }
.aside .legend { display: grid; gap: .4rem; max-width: 24rem; margin-top: 1.4rem; font-size: .9375rem; }
.aside .legend li { display: flex; align-items: baseline; border-bottom: 1px solid var(--grid); padding-bottom: .4rem; }
.aside .legend .note { margin-left: auto; }

.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9688rem; }
th, td { padding: .55rem .9rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
thead th, thead td { color: var(--soft); font-weight: 500; font-size: .8125rem; vertical-align: bottom; border-bottom-color: var(--soft); }
th:first-child { text-align: left; white-space: normal; min-width: 9.5rem; padding-left: 0; }
tbody th { font-weight: 500; }
th:last-child, td:last-child { padding-right: 0; }
td.spark { width: 9rem; padding-block: 0; }
td .plain { color: var(--soft); }
tr.best td.main { font-weight: 700; }
.spark svg { display: block; width: 8rem; height: 1.4rem; margin-left: auto; }
.spark .bar { fill: var(--accent); opacity: .32; }
.spark .mean { fill: var(--accent); }
.spark .range { stroke: var(--accent); stroke-width: 1.6; }
.spark .half { stroke: var(--soft); stroke-width: 1; }

svg.chart { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 11px; fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .axis { fill: var(--ink); font-size: 11px; }
.grid path { stroke: var(--grid); stroke-width: 1; fill: none; }
.grid .chance { stroke: var(--soft); stroke-dasharray: 2 4; }
.ticks path { stroke: var(--soft); stroke-width: 1; fill: none; }
.line { fill: none; stroke: var(--c); stroke-width: 1.9; stroke-linejoin: round; stroke-linecap: round; }
.dashed .line { stroke-dasharray: 5 4; }
.dot { fill: var(--card); stroke: var(--c); stroke-width: 1.6; }
.hit { fill: transparent; }
.hit:hover { fill: var(--c); fill-opacity: .3; }
.s0 { --c: var(--s0); } .s1 { --c: var(--s1); } .s2 { --c: var(--s2); } .s3 { --c: var(--s3); }
.s4 { --c: var(--s4); } .s5 { --c: var(--s5); } .s6 { --c: var(--s6); } .s7 { --c: var(--s7); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 0 0 .8rem; padding: 0; font-size: .875rem; }
.legend li { white-space: nowrap; }
.legend .key { flex: none; align-self: center; width: 1.4rem; height: .5rem; margin-right: .45rem; }
.legend .note { color: var(--soft); font-variant-numeric: tabular-nums; }

.memes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 12.5rem), 1fr)); gap: 1.1rem; list-style: none; margin: 0; padding: 0; }
.meme { display: flex; flex-direction: column; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; }
.meme img { display: block; width: 100%; aspect-ratio: 1; object-fit: contain; background: var(--grid); }
.meme .words { margin: 0; padding: .75rem .85rem .3rem; line-height: 1.35; font-size: .9688rem; flex: 1; }
.meme .verdict { margin: 0; padding: .45rem .85rem; font-size: .8125rem; line-height: 1.35; }
.wrong .verdict { background: var(--bad-wash); color: var(--bad); }
.right .verdict { background: var(--good-wash); color: var(--good); }
.meme .score { padding: .3rem .85rem .7rem; font-size: .8125rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.scale { position: relative; height: .4rem; border-radius: .2rem; background: var(--grid); margin-bottom: .35rem; }
.scale i { position: absolute; inset: 0 auto 0 0; border-radius: .2rem; background: var(--soft); }
.wrong .scale i { background: var(--bad); }
.right .scale i { background: var(--good); }
.scale b { position: absolute; top: -.15rem; bottom: -.15rem; width: 2px; margin-left: -1px; background: var(--ink); }
.score span { float: right; }
details { margin-top: 1rem; }
summary { cursor: pointer; }
pre { overflow-x: auto; padding: 1rem 1.2rem; background: var(--card); border: 1px solid var(--rule); border-radius: 10px; font: .8125rem/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
footer { margin-top: 4rem; color: var(--soft); font-size: .875rem; }
@media (max-width: 40rem) {
  body { padding-top: 2rem; }
  .spark { display: none; }
  td .plain { display: block; font-size: .8125rem; line-height: 1.2; }
  thead th { white-space: normal; min-width: 4.4rem; }
  th:first-child { min-width: 7.5rem; position: sticky; left: 0; background: var(--page); }
  .aside { display: block; }
  .aside .legend { margin-bottom: 1.2rem; }
  svg text, svg .axis { font-size: 12.5px; }
  .panel { padding: 1rem; }
  th, td { padding-inline: .55rem; }
  .memes { grid-template-columns: repeat(auto-fill, minmax(min(100%, 9.5rem), 1fr)); gap: .8rem; }
}
@media print { body { max-width: none; } .meme, .panel { break-inside: avoid; } }
)css";

}  // namespace sslmeme::detail
