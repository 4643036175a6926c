"""The style sheet of a report: light and dark, phone and desk."""

# Near Okabe and Ito's colours, darkened or lightened to be read on either ground; lines differ in dashes too.
STYLE = """
:root { --ground: #ffffff; --card: #f5f6f8; --text: #1b1f24; --soft: #57606a; --line: #d3d8de; --link: #0a5cad;
  --c0: #0072b2; --c1: #d55e00; --c2: #00855f; --c3: #b5528a; --c4: #7a4fbf; --c5: #a86f00; --c6: #1b1f24; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171b; --card: #1e2329; --text: #e6e9ec; --soft: #a3adb8; --line: #3a424b; --link: #7db8f0;
    --c0: #56a9e0; --c1: #f08a3c; --c2: #35c496; --c3: #e09ac2; --c4: #b79bf0; --c5: #e6b94d; --c6: #e6e9ec; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1rem clamp(.9rem, 3vw, 2rem) 3rem; max-width: 76rem; background: var(--ground);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: .5rem 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 0 0 .75rem; }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; overflow-wrap: anywhere; max-width: 75ch; }
a { color: var(--link); }
header p, footer p, .note, figcaption, .of { color: var(--soft); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; padding: 0; margin: .75rem 0 0; list-style: none; }
nav a { display: inline-block; padding: .2rem 0; }
section { border-top: 1px solid var(--line); padding-top: 1.5rem; margin-top: 2rem; }
footer { border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: .5rem; font-size: .9rem; }
.note { border-left: 3px solid var(--line); padding-left: .7rem; font-size: .95rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 0 0 1.25rem; }
.tiles > div { background: var(--card); border-radius: .5rem; padding: .7rem .9rem; }
.tiles dt { color: var(--soft); font-size: .9rem; }
.tiles dd { margin: 0; font-size: 1.6rem; font-weight: 600; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tiles .of { font-size: .85rem; font-weight: 400; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: .75rem 0 1.25rem; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
table { min-width: min(100%, 26rem); }
caption { text-align: left; color: var(--soft); padding: 0 0 .35rem; }
caption span { display: inline-block; position: sticky; left: 0; max-width: calc(100vw - 2rem); }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 2px solid var(--line); font-weight: 600; }
tbody th { font-weight: 500; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .85rem; line-height: 1.35; margin-top: .3rem; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; border-radius: .35rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr)); gap: 1.25rem;
  margin: .75rem 0; }
.charts > figure { background: var(--card); border-radius: .5rem; padding: .8rem; max-width: 32rem; }
.charts > figure { display: flex; flex-direction: column; }
.charts figcaption { order: -1; margin: 0 0 .4rem; font-size: .92rem; color: var(--text); }
.sheets { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1rem;
  margin: .75rem 0; }
.sheets img { width: 100%; }
.crops { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: .9rem .75rem;
  margin: .75rem 0; }
.crops img { width: 100%; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, "Liberation Sans", sans-serif; }
svg text { fill: var(--text); }
svg .soft { fill: var(--soft); }
svg .rule { stroke: var(--line); stroke-width: 1; fill: none; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .dot { stroke: var(--card); stroke-width: 1.5; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1rem; padding: 0; margin: .4rem 0 0; list-style: none;
  font-size: .85rem; }
.legend svg { display: inline-block; width: 2rem; height: .7rem; margin-right: .35rem; vertical-align: middle; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); } .c3 { stroke: var(--c3); }
.c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); } .c6 { stroke: var(--c6); }
.dot.c0 { fill: var(--c0); } .dot.c1 { fill: var(--c1); } .dot.c2 { fill: var(--c2); } .dot.c3 { fill: var(--c3); }
.dot.c4 { fill: var(--c4); } .dot.c5 { fill: var(--c5); } .dot.c6 { fill: var(--c6); }
.d1 { stroke-dasharray: 7 4; } .d2 { stroke-dasharray: 2 4; } .d3 { stroke-dasharray: 8 4 2 4; }
details { margin: .6rem 0; }
summary { cursor: pointer; padding: .25rem 0; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
@media print { details { display: block; } .scroll { overflow: visible; } }
""".strip()
