"""How a run is shown: one HTML page that opens offline, a CSV of candidates, a JSON summary.

``write_report`` is in ``dnsearch.report.page``, which imports plotly; the numbers and the answer in
words are in ``dnsearch.report.digest``, which does not.
"""
