"""Whatever comes from outside is opened here, safely, or refused in one sentence.

In: paths, uploads, zips, hub addresses, data sets. Out: pictures, labelled samples, plain files. Open `images.py`
first. Every refusal is an `InputError` of `errors.py`.
"""
