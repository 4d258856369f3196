"""Everything from outside is opened here safely, or refused in one sentence.

In: paths, uploads, zips, hub addresses, data sets. Out: pictures and input tensors (`images.py`), unpacked folders
(`zips.py`), downloaded ones (`hub.py`), labelled samples (`datasets/`). Open `images.py` first. Every refusal is an
`InputError` of `errors.py`. `files.py` writes a whole file or none, `paths.py` has the project's own folders.
"""
