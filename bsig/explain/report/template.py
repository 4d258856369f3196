"""The report's page. Jinja fills it with autoescape on; there is no script in it."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Evidence for {{ name }}</title>
<style>
:root { color-scheme: light; --paper: #fff; --ink: #1b1f24; --quiet: #57606a; --rule: #d0d7de; --tint: #eef2f7;
  --accent: #4f46e5; }
@media screen and (prefers-color-scheme: dark) { :root { color-scheme: dark; --paper: #14181d; --ink: #e6edf3;
  --quiet: #a3adb8; --rule: #38414b; --tint: #1f262e; --accent: #8b8cf7; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.15rem; margin: 1.6rem 0 .5rem; }
h1, h2, p, td, th, figcaption, dd, dt { overflow-wrap: anywhere; }
.number { overflow-wrap: normal; }
.finding { background: var(--tint); border-left: 4px solid var(--accent); padding: .7rem 1rem; font-size: 1.1rem;
  margin: 0; }
.grid { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .8rem; margin-top: 1rem; }
.plots { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .8rem 1.2rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border: 1px solid var(--rule); }
.plots { align-items: end; }
.plots img, .scale img { border: 0; background: #fff; border-radius: 4px; }
.together { break-inside: avoid; }
figcaption b { display: block; }
figcaption { font-size: .88rem; color: var(--quiet); }
figcaption b { color: var(--ink); }
.scale { display: block; margin-top: .6rem; }
.scale img { display: block; width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid var(--rule); }
th { color: var(--quiet); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide td.number { width: 24%; }
td b { font-weight: 600; } td small { display: block; color: var(--quiet); }
.settings th { width: 30%; }
pre { background: var(--tint); padding: .7rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
dl { margin: 0; columns: 2; column-gap: 2rem; font-size: .88rem; }
dl div { break-inside: avoid; margin-bottom: .4rem; }
dt { font-weight: 650; } dd { margin: 0; color: var(--quiet); }
footer { margin-top: 1.5rem; font-size: .85rem; color: var(--quiet); }
@media screen and (max-width: 40rem) { body { padding: 1rem; }
  .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .plots { grid-template-columns: minmax(0, 1fr); } dl { columns: 1; }
  th, td { padding: .3rem .25rem; } .narrow { font-size: .78rem; } .wide td.number { width: 32%; } }
@page { size: A4; margin: 12mm 13mm; }
@media print {
  :root { font-size: 9.5pt; }
  body { padding: 0; max-width: none; font-size: 8.8pt; line-height: 1.38; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  h1 { font-size: 14pt; } h2 { font-size: 11pt; margin: 9pt 0 3pt; break-after: avoid; }
  p { margin: 4pt 0; } .finding { font-size: 10.5pt; padding: 5pt 9pt; }
  .pair { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 0 6mm; }
  table { font-size: 8.2pt; } th, td { padding: 1.6pt 4pt; }
  .wide td small { display: inline; font-size: inherit; } .wide td.number small { display: block; }
  .plots { gap: 2mm 6mm; } .plots img { width: 76mm; } ul { margin: 0; padding-left: 14pt; }
  figure, tr, pre, .finding { break-inside: avoid; }
  thead { display: table-header-group; }
  dl { columns: 3; column-gap: 6mm; font-size: 7.8pt; line-height: 1.3; } dl div { margin-bottom: 2.5pt; }
  pre { font-size: 7.8pt; padding: 5pt 9pt; margin: 3pt 0; } footer { margin-top: 6pt; }
}
</style>
</head>
<body>
{% macro drawn(plots) %}
<div class="plots">
{% for one in plots %}
<figure><figcaption><b>{{ one.title }}</b></figcaption><img src="{{ one.src }}" alt="{{ one.alt }}"></figure>
{% endfor %}
</div>
{% endmacro %}
<main>
<h1>Evidence for “{{ name }}”: softmax and sigmoid class activation maps</h1>
<p class="finding">{{ finding }}</p>
<div class="together">
<div class="grid">
{% for one in pictures %}
<figure><img src="{{ one.src }}" alt="{{ one.alt }}"><figcaption><b>{{ one.title }}</b>{{ one.words }}</figcaption>
</figure>
{% endfor %}
</div>
{% if scale %}
<picture class="scale"><source media="screen and (max-width: 40rem)" srcset="{{ scale[1] }}">
<img src="{{ scale[0] }}" alt="{{ scale_words }}"></picture>
{% endif %}
<p>{{ scale_words }}</p>
</div>
<div class="pair">
<section class="together">
<h2>What each branch says</h2>
<table class="narrow"><thead><tr><th>Map</th><th class="number">Probability</th><th class="number">Logit</th>
<th class="number">Positive area</th><th class="number">Range of the map</th></tr></thead><tbody>
{% for row in branches %}
<tr><td>{{ row[0] }}</td>{% for value in row[1:] %}<td class="number">{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table>
</section>
<section class="together">
<h2>Likeliest classes of both branches</h2>
<table><thead><tr><th>Class</th><th class="number">Softmax</th><th class="number">Sigmoid</th></tr></thead><tbody>
{% for row in top %}
<tr><td>{{ row[0] }}</td><td class="number">{{ row[1] }}</td><td class="number">{{ row[2] }}</td></tr>
{% endfor %}
</tbody></table>
</section>
</div>
<section>
<h2>Signs, and how fragile the heatmap is</h2>
{% for text in collapse if text %}<p>{{ text }}</p>
{% endfor %}
{{ drawn(plots) }}
</section>
{% if shifted %}
<section class="together">
<h2>Logit shift: what softmax cannot see</h2>
<p>{{ shift_words }}</p>
{{ drawn(shifted) }}
</section>
{% endif %}
<section>
<h2>All numbers on this picture</h2>
<table class="wide"><thead><tr><th>Number, and what it means</th><th class="number">Value</th></tr>
</thead>
<tbody>
{% for one in diagnostics %}
<tr><td><b>{{ one.title }}</b> <small>{{ one.words }}</small></td>
<td class="number">{{ one.value }}{% if one.better %} <small>{{ one.better }} is better</small>{% endif %}</td></tr>
{% endfor %}
</tbody></table>
</section>
<section class="together">
<h2>Settings</h2>
<table class="settings"><tbody>
{% for key, value in settings %}
<tr><th scope="row">{{ key }}</th><td>{{ value }}</td></tr>
{% endfor %}
</tbody></table>
</section>
<section>
<h2>Method</h2>
{% for text in method %}<p>{{ text }}</p>
{% endfor %}
<h2>Limits</h2>
<ul>{% for text in limits %}<li>{{ text }}</li>{% endfor %}</ul>
<h2>Terms</h2>
<dl>{% for title, meaning in terms %}<div><dt>{{ title }}</dt><dd>{{ meaning }}</dd></div>{% endfor %}</dl>
<h2>Citation</h2>
<pre>{{ bibtex }}</pre>
</section>
</main>
<footer>Made with bsig {{ version }}{% if facts.made %}, {{ facts.made }}{% endif %}. This file holds everything it
shows and asks no server for anything.</footer>
</body>
</html>
"""
