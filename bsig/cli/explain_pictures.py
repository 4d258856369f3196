"""What `python -m bsig explain` does once its arguments are known to be good: encode, explain, write, print."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bsig.cli.progress import ProgressLine
from bsig.explain.explainer import EncodedImage, Explainer
from bsig.explain.explanation import Explanation
from bsig.explain.methods import CAM_METHODS
from bsig.explain.output.folder import crop_words, explanation_numbers, write_explanation
from bsig.explain.output.manifest import BundleEntry, write_manifest
from bsig.explain.output.table import ExplanationTable
from bsig.explain.readings import comparison_readings
from bsig.explain.setting_text import reading_settings_from
from bsig.explain.verdict import finding
from bsig.explain.wording import reading_text, whole_percent
from bsig.inputs.counts import counted
from bsig.inputs.errors import InputError
from bsig.inputs.files import whole_file, write_whole
from bsig.inputs.names import SHEET, TABLE
from bsig.inputs.picture_files import PictureFile, PictureFiles
from bsig.model.checkpoints.load import load_checkpoint
from bsig.model.dual_branch import DualBranch

SHOWN_FINDINGS = 5


@dataclass
class ExplainedPictures:
    """What a command has written so far: the table, the files, and the pictures that could not be used."""

    options: argparse.Namespace
    model: DualBranch
    class_indices: list[int | None]
    other_index: int | None
    is_single: bool
    table: ExplanationTable = field(default_factory=ExplanationTable)
    entries: list[BundleEntry] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `EncodedImage.explain` that are the same for all pictures."""
        return {
            "method": self.options.method,
            "weights": self.options.weights,
            "with_bias": self.options.bias,
            "score_cam_channels": self.options.channels,
            "reading_settings": reading_settings_from(self.options.reading_settings),
            "other_class": self.other_index,
            **comparison_readings(self.model, self.options.method, self.options.weights, self.options.reading),
        }

    def add(self, encoded: EncodedImage, picture: PictureFile) -> None:
        """Explains a picture for each class, and writes and notes what comes out."""
        for class_index in self.class_indices:
            if class_index is None and not self.is_single and encoded.predicted_index == self.other_index:
                self.left_out.append(f"'{picture.name}' is predicted to be `--other-class` itself.")
                continue
            start = time.perf_counter()
            is_slow = self.is_single and self.options.method in CAM_METHODS and CAM_METHODS[self.options.method].is_slow
            progress = ProgressLine("channels") if is_slow else None
            explanation = encoded.explain(class_index, progress=progress, **self.settings)
            folder = self._folder(explanation, picture)
            self.numbers = explanation_numbers(explanation, seconds=round(time.perf_counter() - start, 3))
            self.files = write_explanation(
                explanation,
                self.options.out / folder,
                self.numbers,
                report=self.is_single or self.options.reports,
                whole_picture=self.options.whole_picture,
            )
            self.table.add(explanation, folder or picture.folder)
            if self.options.bundle:
                copy = self._copied(picture, "" if self.is_single else picture.folder)
                self.entries.append(
                    BundleEntry(
                        folder,
                        copy,
                        explanation.class_index,
                        encoded.preprocessing.crop_mode,
                        encoded.coarse is not None,
                    )
                )
            if self.is_single:
                self._print_single(explanation)

    def _folder(self, explanation: Explanation, picture: PictureFile) -> str:
        if self.is_single:
            return ""
        if len(self.class_indices) == 1:
            return picture.folder
        name = re.sub(r"\W+", "-", explanation.class_name).strip("-")[:60]
        return f"{picture.folder}/{explanation.class_index}-{name}"

    def _copied(self, picture: PictureFile, folder: str) -> str:
        """The path, below `--out`, of a copy of the picture's file."""
        copy = Path(folder) / f"picture{picture.path.suffix.lower()}"
        with whole_file(self.options.out / copy) as temporary:
            shutil.copyfile(picture.path, temporary)
        return copy.as_posix()

    def _print_single(self, explanation: Explanation) -> None:
        if not self.options.json:
            print(finding(explanation))
            if self.options.reading:
                print(reading_text(explanation))
            print(crop_words(explanation))

    def close(self) -> None:
        """Writes what is about all pictures, and prints it.

        Raises:
            InputError: no picture could be used.
        """
        out = self.options.out
        if not len(self.table):
            raise InputError(f"none of the pictures could be used: {self.left_out[0]}")
        files = list(self.files)
        if not self.is_single:
            with whole_file(out / SHEET) as temporary:
                self.table.contact_sheet().save(temporary, "PNG")
            write_whole(out / TABLE, self.table.csv_text())
            files = [out / SHEET, out / TABLE]
        if self.options.bundle:
            files.append(write_manifest(out, self.model, self.settings, self.entries))
        for sentence in self.left_out:
            print(f"left out: {sentence}", file=sys.stderr)
        if self.options.json:
            print(json.dumps(self.numbers if self.is_single else self.table.rows(), indent=1))
            return
        if not self.is_single:
            self._print_findings()
        print(*files, sep="\n")

    def _print_findings(self) -> None:
        rows = self.table.rows()
        print(
            f"{counted(len(rows), 'explanation')}, a folder each in {self.options.out}; the largest disagreement first:"
        )
        for row in rows[:SHOWN_FINDINGS]:
            print(f"{whole_percent(row['disagreement']):>6} of cells  {row['folder']}: {row['finding']}")


def explain_pictures(options: argparse.Namespace, files: PictureFiles) -> None:
    """Explains each picture for each class, writes the files and prints what was found.

    Raises:
        InputError: an unknown class, setting or device; a checkpoint that cannot be loaded; a folder that cannot be
            written; no picture that can be used.
    """
    model = load_checkpoint(options.checkpoint, options.device, options.checkpoints, options.engine)
    names = options.classes.split(",") if options.classes is not None else [options.class_name]
    indices = list(dict.fromkeys(None if name is None else model.class_index(name) for name in names))
    is_single = len(files.pictures) == len(indices) == 1
    other_index = None if options.other_class is None else model.class_index(options.other_class)
    if other_index is not None and other_index in indices:
        raise InputError(f"`--other-class` (='{options.other_class}') must be another class than the one asked for.")
    output = ExplainedPictures(options, model, indices, other_index, is_single, left_out=list(files.left_out))
    if files.skipped:
        skipped = counted(files.skipped, "file that is no picture", "files that are no pictures")
        print(f"skipped {skipped}", file=sys.stderr)
    if files.own:
        print(f"skipped {counted(files.own, 'picture')} that `explain` has written", file=sys.stderr)
    progress = ProgressLine("pictures") if len(files.pictures) > 1 else None
    for count, (encoded, picture) in enumerate(_encoded(model, files, output), start=1):
        output.add(encoded.finer_grid() if options.finer_grid else encoded, picture)
        if progress:
            left_out = len(output.left_out) - len(files.left_out)  # some of them counted already
            progress(min(count + left_out, len(files.pictures)), len(files.pictures))
    output.close()


def _encoded(
    model: DualBranch, files: PictureFiles, output: ExplainedPictures
) -> Iterator[tuple[EncodedImage, PictureFile]]:
    """Each picture that can be used, encoded in batches; the others' reasons go to `output.left_out`."""
    by_path = {picture.path: picture for picture in files.pictures}
    if len(files.pictures) == 1:
        (picture,) = files.pictures
        yield Explainer(model).encode(picture.path, output.options.crop_mode, name=picture.name), picture
        return
    encoded_images = Explainer(model).encode_many(
        by_path,
        output.options.crop_mode,
        name_of=lambda path: by_path[path].name,  # type: ignore[index]
        on_refusal=lambda _source, error: output.left_out.append(str(error)),
    )
    for encoded in encoded_images:
        yield encoded, by_path[encoded.source]  # type: ignore[index]
