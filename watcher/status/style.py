"""How the status page looks: system fonts, light or dark as the reader's system is. Pure.

Colours are data, so that a test can compute their contrast: WCAG 2.2 AA for every pair in `PAIRS`.
"""

from __future__ import annotations

import base64
import hashlib

LIGHT = {
    "ink": "#1a1f26",
    "quiet": "#56606b",
    "page": "#ffffff",
    "card": "#f5f7f9",
    "line": "#d4dae1",
    "edge": "#7d8894",
    "link": "#0b57b0",
    "bar": "#dfe5eb",
    "good": "#17652f",
    "good-card": "#e3f4e8",
    "good-fill": "#2a8c4a",
    "busy": "#0b4f9e",
    "busy-card": "#e4eefb",
    "busy-fill": "#3b7dd8",
    "warn": "#7a4b00",
    "warn-card": "#fdf0d5",
    "warn-fill": "#b97a0a",
    "bad": "#a31d15",
    "bad-card": "#fdeae8",
    "bad-fill": "#cf3a30",
}
DARK = {
    "ink": "#e4e9ef",
    "quiet": "#9aa5b1",
    "page": "#0f1318",
    "card": "#171c23",
    "line": "#2c343d",
    "edge": "#6c7885",
    "link": "#7cb5ff",
    "bar": "#29313a",
    "good": "#6fd58e",
    "good-card": "#12291a",
    "good-fill": "#3fa862",
    "busy": "#8fc0ff",
    "busy-card": "#14253d",
    "busy-fill": "#4d8fe6",
    "warn": "#f0bd5e",
    "warn-card": "#2e2209",
    "warn-fill": "#c98d1e",
    "bad": "#ff9a91",
    "bad-card": "#351614",
    "bad-fill": "#e0554b",
}
# Text on its ground: 4.5 to 1.
PAIRS = tuple(
    [(text, ground) for text in ("ink", "quiet", "link") for ground in ("page", "card")]
    + [(tone, f"{tone}-card") for tone in ("good", "busy", "warn", "bad")]
    + [(tone, "page") for tone in ("good", "busy", "warn", "bad")]
    + [("ink", f"{tone}-card") for tone in ("warn", "bad", "good")]
    + [("link", f"{tone}-card") for tone in ("warn", "bad")]
)
# What is seen without being read (parts of a bar, the frame of a field, the focus): 3 to 1.
SHAPES = tuple(
    [(f"{tone}-fill", "page") for tone in ("good", "busy", "warn", "bad")]
    + [("edge", "page"), ("edge", "card"), ("link", "page"), ("link", "card")]
)


def _variables(palette: dict[str, str]) -> str:
    return ";".join(f"--{name}:{value}" for name, value in palette.items())


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-999rem}.skip:focus{left:1rem;top:.5rem;background:var(--page)}
header{border-bottom:1px solid var(--line);background:var(--card)}
header>div,main,footer{max-width:80rem;margin:0 auto;padding:0 1.25rem}
header>div{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1.5rem;min-height:3.25rem}
.brand{font-weight:650;color:var(--ink);font-size:1rem;white-space:nowrap}
.brand small{color:var(--quiet);font:400 .92em ui-monospace,monospace;margin-left:.4rem}
nav ul{display:flex;flex-wrap:wrap;list-style:none;margin:0;padding:0;gap:0 .15rem}
nav a{display:block;padding:.85rem .6rem;color:var(--quiet);border-bottom:2px solid transparent}
nav a:hover{color:var(--ink);text-decoration:none}
nav a[aria-current]{color:var(--ink);border-color:var(--link);font-weight:600}
form{display:flex;flex-wrap:wrap;gap:.5rem;margin:0}
header form{margin-left:auto;padding:.4rem 0;flex:0 1 19rem}header input{flex:1 1 9rem;min-width:0}
input,button,select{font:inherit;color:var(--ink);background:var(--page);
border:1px solid var(--edge);border-radius:5px;padding:.32rem .6rem;min-height:2.1rem}
button{background:var(--card);font-weight:600;cursor:pointer}
label{display:flex;flex-direction:column;gap:.15rem;color:var(--quiet);font-size:.86rem}
.filter{align-items:flex-end;margin:.75rem 0}.filter input,.filter select{min-width:11rem}
main{padding-top:1.25rem;padding-bottom:2rem}
footer{color:var(--quiet);border-top:1px solid var(--line);padding-top:.75rem;
padding-bottom:2rem;font-size:.86rem}
h1{font-size:1.45rem;line-height:1.25;margin:0 0 .35rem;font-weight:650;overflow-wrap:anywhere}
h2{font-size:1.02rem;margin:1.75rem 0 .4rem;font-weight:650}
h2 .more{font-weight:400;font-size:.9rem;margin-left:.6rem}
p{margin:.35rem 0}
.quiet{color:var(--quiet)}
code,.mono{font:.92em ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere}
.truth{margin:0 0 1rem}
.truth svg{display:block;width:100%;height:12px;border-radius:6px;background:var(--bar);
margin:.6rem 0 .5rem}
rect.good{fill:var(--good-fill)}rect.busy{fill:var(--busy-fill)}
rect.warn{fill:var(--warn-fill)}rect.bad{fill:var(--bad-fill)}
.legend{display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;list-style:none;margin:0;padding:0}
.badge{display:inline-block;border-radius:4px;padding:0 .45rem;font-size:.86rem;font-weight:600;
white-space:nowrap;border:1px solid transparent}
.badge.good{color:var(--good);background:var(--good-card)}
.badge.busy{color:var(--busy);background:var(--busy-card)}
.badge.warn{color:var(--warn);background:var(--warn-card)}
.badge.bad{color:var(--bad);background:var(--bad-card)}
.badge.rest{color:var(--quiet);background:var(--card);border-color:var(--line)}
a.badge[aria-current]{outline:2px solid currentColor;outline-offset:1px}
.calm{color:var(--good);font-weight:600}
.note{border-left:4px solid;padding:.6rem .9rem;margin:.9rem 0;border-radius:0 5px 5px 0;
overflow-wrap:anywhere}
.note.bad{background:var(--bad-card);border-color:var(--bad-fill)}.note.bad strong{color:var(--bad)}
.note.warn{background:var(--warn-card);border-color:var(--warn-fill)}
ul.note{list-style:none}ul.note li+li{margin-top:.6rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.6rem;
margin:1rem 0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:6px;
padding:.5rem .75rem;min-width:0}
.tiles span,.tiles b,.tiles small{display:block;overflow-wrap:anywhere}
.tiles span,.tiles small{color:var(--quiet);font-size:.86rem}
.tiles b{font-size:1.2rem;line-height:1.35;font-weight:650}
.wide{overflow-x:auto}.wide+.wide,.legend+.wide{margin-top:.8rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--quiet);font-size:.86rem;padding:0 0 .25rem}
th,td{text-align:left;vertical-align:top;padding:.28rem .9rem .28rem 0;font-weight:400;
border-bottom:1px solid var(--line);unicode-bidi:isolate;overflow-wrap:anywhere}
th[scope=row]:not(:has(time)){min-width:13rem}td:not(.num):has(>a){min-width:16rem}
th:has(time){white-space:nowrap;width:1%}
th[scope=col]{color:var(--quiet);font-size:.86rem;white-space:nowrap;overflow-wrap:normal}
.num{text-align:right}
tbody tr:hover{background:var(--card)}
.when{white-space:nowrap;color:var(--quiet)}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1.25rem;margin:.6rem 0}
dt{color:var(--quiet)}dd{margin:0;overflow-wrap:anywhere}
.pages{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;margin:.75rem 0}
@media (max-width:44rem){
header>div,main,footer{padding-left:.9rem;padding-right:.9rem}
header form{flex-basis:100%;margin:0 0 .4rem}nav{order:3;width:100%;overflow-x:auto}
nav ul{flex-wrap:nowrap;gap:0}nav a{padding:.5rem .42rem}
.filter label{flex:1 1 100%}.filter input,.filter select{width:100%}
.stack thead{position:absolute;left:-999rem}
.stack table,.stack tbody,.stack tr,.stack th,.stack caption{display:block}
.stack tr{border-bottom:1px solid var(--line);padding:.4rem 0}
.stack th,.stack td{border:0;padding:.08rem 0;text-align:left}
.stack th[scope=row]:not(:has(time)),.stack td:not(.num):has(>a){min-width:0}
.stack th:has(time){width:auto}.stack td{display:inline-block;margin-right:.9rem;max-width:100%}
.stack td[data-label]:not([data-label=""])::before{content:attr(data-label) ": ";
color:var(--quiet)}
.stack td:empty{display:none}
dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:.4rem}
}
@media print{
header form,nav,.skip,.filter,.pages,.more{display:none}
body{font-size:10pt}.note,.badge,.tiles div{break-inside:avoid}tr{break-inside:avoid}
a{color:inherit}thead{display:table-header-group}
}
"""

STYLE = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    f"@media print{{:root{{{_variables(LIGHT)}}}}}{_RULES}"
)
# What a page may apply is this text and no other.
STYLE_SOURCE = f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
