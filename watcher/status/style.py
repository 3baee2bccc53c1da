"""How the status page looks: one column, system fonts, light or dark as the reader's system is."""

STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--quiet:#59636e;--page:#fff;--card:#f6f8fa;
--line:#d1d9e0;--bad:#b3261e;--bad-card:#fdeceb;--good:#1a6b34}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--quiet:#9198a1;--page:#0d1117;
--card:#161b22;--line:#30363d;--bad:#ff8a80;--bad-card:#2d1517;--good:#56d364}}
body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0 0}h1 small{color:var(--quiet);font-weight:400}
h2{font-size:1.1rem;margin:2rem 0 .5rem}a{color:inherit}
.quiet,th[scope=col]{color:var(--quiet)}
.good{color:var(--good);font-weight:600}
.bad{background:var(--bad-card);border-left:4px solid var(--bad);padding:.75rem 1rem;margin:1rem 0}
ul.bad{list-style:none}ul.bad li+li{margin-top:.75rem}.bad strong{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.75rem}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.75rem}
.tiles span,.tiles b,.tiles small{display:block}.tiles b{font-size:1.5rem;line-height:1.3}
.tiles span,.tiles small{color:var(--quiet)}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;
border-bottom:1px solid var(--line);font-weight:400;unicode-bidi:isolate}
th[scope=row],code,.bad div,td,.tiles small{overflow-wrap:anywhere}
code{font:.92em ui-monospace,monospace}
"""
