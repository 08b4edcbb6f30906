#include "app/page/style.hpp"

namespace amend::page {

// Colours c0 to c7 are Okabe and Ito's (Color Universal Design, 2008), darkened on paper and lightened on black until
// names written in them have a contrast of 4.5:1.
const char* const kStyle = R"css(
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1e21; --soft: #565b61; --rule: #c9cdd2; --grid: #e8eaed; --shade: #f5f6f7;
  --link: #0b5fa5; --c0: #0068a8; --c1: #b84a00; --c2: #00785a; --c3: #a8487f; --c4: #8a6200; --c5: #5a6068;
  --c6: #6650b0; --c7: #6a6a00;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #15181b; --ink: #e7e9ec; --soft: #a7adb4; --rule: #454b52; --grid: #2a2f34; --shade: #1d2125;
    --link: #7cc0f5; --c0: #5cb8ee; --c1: #f08b4e; --c2: #35c29b; --c3: #e39cc6; --c4: #e5b03a; --c5: #a9afb6;
    --c6: #b3a4f0; --c7: #d3cd62;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, "Bitstream Charter", "Sitka Text", Cambria, Georgia, "DejaVu Serif", serif;
}
main { max-width: 65rem; margin: 0 auto; padding: 4rem 1.5rem 5rem; }
h1, h2, h3, table, .legend, svg text, figcaption, summary, dl, nav {
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif;
}
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 1rem; padding-top: 2.5rem; border-top: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 3rem 0 1rem; }
section { margin-top: 4rem; }
p { max-width: 42rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.15rem; line-height: 1.55; }
.more { max-width: 42rem; padding-left: 1.1rem; margin: 0; overflow-wrap: anywhere; }
.more li { margin-bottom: .4rem; }
.more li::marker { color: var(--soft); }
h2 small { font-weight: 400; font-size: .7em; display: block; }
a { color: var(--link); text-underline-offset: .15em; }
a:focus-visible, button:focus-visible, .scroll:focus-visible, summary:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px;
}
small { color: var(--soft); font-size: .85em; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.25rem; font-size: .875rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }

.scroll { overflow-x: auto; margin: 1.5rem 0 2.5rem; }
table { border-collapse: collapse; font-size: .8125rem; line-height: 1.4; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; color: var(--soft); padding: 0 0 .75rem; max-width: min(44rem, calc(100vw - 2.5rem)); }
caption b { color: var(--ink); }
th, td { padding: .4rem .5rem; text-align: right; vertical-align: baseline; font-weight: 400; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
th[scope=row], th[scope=rowgroup], th[rowspan]:first-child, th:first-child, .text, .words th, .words td { text-align: left; }
th[rowspan]:first-child { min-width: 11rem; }
tr:nth-child(2) th[scope=col]:first-child { text-align: right; padding-left: .5rem; }
td.text { min-width: 7.5rem; padding-left: 1.2rem; }
th.text { padding-left: 1.2rem; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 1px solid var(--rule); }
thead th[scope=colgroup] { text-align: center; border-bottom-width: 0; padding-bottom: 0; }
thead { border-top: 2px solid var(--ink); }
table { border-bottom: 2px solid var(--ink); }
tbody tr + tr > * { border-top: 1px solid var(--grid); }
tbody + tbody { border-top: 1px solid var(--rule); }
td small, th small { display: block; white-space: nowrap; }
.compact td small { display: inline; margin-left: .4em; }
.compact th[scope=row], .compact td { white-space: nowrap; }
th small { white-space: normal; }
th[scope=rowgroup] { font-weight: 600; padding-top: .9rem; }
.own > th, .own th[scope=rowgroup], .own > td { font-weight: 600; }
.own > .text { font-weight: 400; }
.own small { font-weight: 400; }
summary { cursor: pointer; font-size: .875rem; color: var(--link); }

.legend { list-style: none; margin: 2rem 0 0; padding: 0; display: grid; gap: .5rem 1.5rem; font-size: .875rem;
  line-height: 1.3; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); }
.legend li, .legend button { display: flex; gap: .7rem; align-items: flex-start; }
.legend button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-align: left; cursor: pointer; }
.legend button[aria-pressed=false] { opacity: .75; text-decoration: line-through; }
.legend small { display: block; font-weight: 400; }
.legend .own { font-weight: 600; }
.sample { flex: none; margin-top: .1rem; }

figure { margin: 0 0 2.5rem; break-inside: avoid; }
figcaption { font-size: .8125rem; line-height: 1.5; color: var(--soft); max-width: 44rem; margin-top: .25rem; }
figcaption b { color: var(--ink); }
.pair { display: grid; gap: 0 2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); align-items: start; }
.frame { overflow: hidden; }
.curves .frame { margin: -1rem 0; }
.pair .curves .frame { margin: 0; }
svg.plot { display: block; width: 100%; height: auto; }
svg.half { max-width: 36rem; }
.wide text { font-size: 11.5px; }
.half text { font-size: 15.5px; }
svg text { fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .tick, svg .note { fill: var(--soft); }
svg .name { fill: currentColor; }
svg .own .name { font-weight: 600; }
.axis { stroke: var(--soft); fill: none; }
.grid { stroke: var(--grid); fill: none; }
.limit { stroke: var(--soft); stroke-dasharray: 2 4; fill: none; }
.leader { stroke: currentColor; opacity: .35; stroke-width: .8; fill: none; }
.line, .whisker, .range { stroke: currentColor; fill: none; stroke-width: 1.4; stroke-linejoin: round; }
.whisker { stroke-width: 1; opacity: .6; }
.range { stroke-width: 2.2; stroke-linecap: round; }
.own .line, .own.sample .line { stroke-width: 2.8; }
.own .range { stroke-width: 3.4; }
.band { fill: currentColor; opacity: .16; }
.full { fill: currentColor; stroke: var(--paper); stroke-width: .2; }
.open { fill: var(--paper); stroke: currentColor; stroke-width: .36; }
.dim { opacity: .12; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }

@media (max-width: 44rem) {
  main { padding: 2rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  h2 { font-size: 1.25rem; }
  .verdict { font-size: 1.0625rem; }
  .curves .frame { margin: 0; }
  svg.wide { width: 132.9%; }
  .direct { display: none; }
  svg.plot text { font-size: 20px; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
}
@media print {
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  section + section { break-before: page; margin-top: 0; }
  h2 { border-top: 0; padding-top: 0; }
  h2, h3, caption, thead { break-after: avoid; }
  tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  summary { display: none; }
  .pair { grid-template-columns: 1fr 1fr; }
  a { color: inherit; }
}
)css";

const char* const kScript = R"js(
document.querySelectorAll('.legend li').forEach(function (item) {
  var section = item.closest('section'), key = item.dataset.method, button = document.createElement('button');
  function pickOut(on) {
    section.querySelectorAll('figure .m').forEach(function (part) {
      part.classList.toggle('dim', on ? !part.classList.contains(key) : false);
    });
  }
  button.type = 'button';
  button.setAttribute('aria-pressed', 'true');
  button.title = 'Hide or show in the plots of curves';
  while (item.firstChild) button.appendChild(item.firstChild);
  item.appendChild(button);
  button.addEventListener('click', function () {
    var shown = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(shown));
    section.querySelectorAll('.curves .' + key).forEach(function (part) { part.style.display = shown ? '' : 'none'; });
  });
  ['mouseenter', 'focus'].forEach(function (name) { button.addEventListener(name, function () { pickOut(true); }); });
  ['mouseleave', 'blur'].forEach(function (name) { button.addEventListener(name, function () { pickOut(false); }); });
});
)js";

}  // namespace amend::page
