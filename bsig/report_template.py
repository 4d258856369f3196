"""The report's page. Jinja fills it with autoescape on; there is no script in it."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>Evidence for {{ name }}</title>
<style>
:root { --ink: #1b1f24; --quiet: #57606a; --rule: #d0d7de; --tint: #eef2f7; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 62rem; color: var(--ink); background: #fff;
  font: 15px/1.5 ui-sans-serif, system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .6rem; }
h2 { font-size: 1.15rem; margin: 1.6rem 0 .5rem; }
h1, h2, p, td, th, figcaption, dd, dt { overflow-wrap: anywhere; }
.finding { background: var(--tint); border-left: 4px solid #4f46e5; padding: .7rem 1rem; font-size: 1.1rem; margin: 0; }
.grid { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: .8rem; margin-top: 1rem; }
.plots { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .8rem 1.2rem; }
figure { margin: 0; }
figure img { width: 100%; height: auto; display: block; border: 1px solid var(--rule); }
.plots img { border: 0; }
figcaption b { display: block; }
figcaption { font-size: .88rem; color: var(--quiet); }
figcaption b { color: var(--ink); }
.scale { width: 100%; margin-top: .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .5rem; border-bottom: 1px solid var(--rule); }
th { color: var(--quiet); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.wide td.number { width: 24%; }
.wide td:last-child, .wide th:last-child { white-space: nowrap; }
td small { display: block; color: var(--quiet); }
.settings th { width: 30%; }
pre { background: var(--tint); padding: .7rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
dl { margin: 0; columns: 2; column-gap: 2rem; font-size: .88rem; }
dl div { break-inside: avoid; margin-bottom: .4rem; }
dt { font-weight: 650; } dd { margin: 0; color: var(--quiet); }
footer { margin-top: 1.5rem; font-size: .85rem; color: var(--quiet); }
@media (max-width: 40rem) { .grid { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .plots { grid-template-columns: minmax(0, 1fr); } dl { columns: 1; } }
@page { size: A4; margin: 14mm; }
@media print {
  body { padding: 0; max-width: none; font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h2 { break-after: avoid; }
  figure, tr, pre, .finding, .together { break-inside: avoid; }
  thead { display: table-header-group; }
}
</style>
</head>
<body>
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
{% if scale %}<img class="scale" src="{{ scale }}" alt="{{ scale_words }}">{% endif %}
<p>{{ scale_words }}</p>
</div>
<section class="together">
<h2>What each branch says</h2>
<table><thead><tr><th>Map</th><th class="number">Probability</th><th class="number">Logit</th>
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
<section>
<h2>Signs, and how fragile the heatmap is</h2>
{% for text in collapse if text %}<p>{{ text }}</p>
{% endfor %}
<div class="plots">
{% for one in plots %}
<figure><figcaption><b>{{ one.title }}</b></figcaption><img src="{{ one.src }}" alt="{{ one.alt }}"></figure>
{% endfor %}
</div>
</section>
<section>
<h2>All numbers on this picture</h2>
<table class="wide"><thead><tr><th>Number, and what it means</th><th class="number">Value</th><th>Better</th></tr>
</thead>
<tbody>
{% for one in diagnostics %}
<tr><td>{{ one.title }}<small>{{ one.words }}</small></td><td class="number">{{ one.value }}</td>
<td>{{ one.better }}</td></tr>
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
