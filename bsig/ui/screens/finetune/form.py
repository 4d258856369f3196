"""The Fine-tune form's values, and the settings, the start and the data that they ask for.

What a setting is called, what it may be and what it does is declared in `bsig.training.config`; the form adds only the
values that a page begins with.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from bsig.inputs.errors import InputError
from bsig.inputs.paths import BUNDLED_FEATURES
from bsig.model.devices import chosen_device
from bsig.model.dual_branch import DualBranch
from bsig.training.config import FinetuneConfig, SoftmaxHeadConfig, TrainingConfig, Views, settings_of
from bsig.training.finetune import start_model
from bsig.training.runs.run import DataKind
from bsig.ui.server.limits import Limits
from bsig.ui.workbench import Workbench

DATA_KINDS: dict[DataKind, str] = {
    "bundled": "Shipped features: 1,000 ImageNet classes",
    "zip": "Upload a zip",
    "folder": "A folder on this machine",
    "torchvision": "A torchvision data set",
}
TORCHVISION = ("Imagenette", "OxfordIIITPet", "Flowers102", "Caltech101", "FGVCAircraft", "EuroSAT", "DTD")
BACKBONE = "timm: "
DEVICES = ("auto", "cpu", "cuda", "mps")
TRAINING_FIELDS = (
    "branch", "epochs", "learning_rate", "schedule", "batch_size", "weight_decay", "positive_weight", "initialisation",
    "seed",
)  # fmt: skip
SETTINGS = {
    **{name: settings_of(TrainingConfig)[name] for name in TRAINING_FIELDS},
    "views": settings_of(Views)["count"],
    "device": settings_of(FinetuneConfig)["device"],
}
"""The declared settings among the form's fields."""
TRAINING = TrainingConfig()
Number = float | int | None  # what an emptied field gives


@dataclass(frozen=True)
class Form:
    """The fields that a visitor fills in; they start as a short run on the shipped features, to show training."""

    kind: DataKind = "bundled"
    zip_file: str | None = None
    folder: str = ""
    dataset: str = TORCHVISION[0]
    labels: str = "own"
    start: str = ""
    branch: str = TRAINING.branch
    epochs: Number = 10
    learning_rate: Number = 0.2
    schedule: str = TRAINING.schedule
    batch_size: Number = TRAINING.batch_size
    weight_decay: Number = TRAINING.weight_decay
    positive_weight: Number = TRAINING.positive_weight
    initialisation: str = TRAINING.initialisation
    views: Number = Views().count
    device: str = "auto"
    seed: Number = TRAINING.seed
    password: str | None = field(default=None, repr=False)

    @property
    def new_head(self) -> bool:
        """Whether the data brings a label set of its own."""
        return self.labels == "new"

    def config(self, bench: Workbench) -> FinetuneConfig:
        """The settings, each checked.

        Raises:
            InputError: a setting breaks its rule or a limit of this app, or cannot be honoured with this data; the
                sentence names it.
        """
        bench.limits.check("epochs", self.epochs or 0, bench.limits.finetune_epochs, "choose fewer")
        training = TrainingConfig(**{name: SETTINGS[name].read(getattr(self, name)) for name in TRAINING_FIELDS})
        views = Views(SETTINGS["views"].read(self.views), seed=training.seed)
        if self.kind == "bundled" and views.count > 1:
            raise InputError(f"`views` (={views.count}) must be 1 for the shipped features, which have one view each.")
        config = FinetuneConfig(
            softmax_head=SoftmaxHeadConfig() if self.new_head else None,
            training=training,
            views=views,
            device=self._device(bench),
        )
        return self._with_start(config, bench)

    def _device(self, bench: Workbench) -> str:
        """The device that was chosen; a public app has one for everybody."""
        if bench.is_public and self.device not in ("auto", bench.device):
            raise InputError(f"`device` (={self.device}) must be 'auto' in this public app.")
        return chosen_device(bench.device if bench.is_public else self.device)

    def _with_start(self, config: FinetuneConfig, bench: Workbench) -> FinetuneConfig:
        """The settings with what the run starts from."""
        start = (self.start or "").strip() or bench.default_checkpoint  # what comes over HTTP may be None
        if start.startswith(BACKBONE):
            name = start.removeprefix(BACKBONE).strip()
            bench.limits.check_backbone(name)
            return replace(config, backbone=name)
        return replace(config, start_from=str(bench.checkpoint_path(start)))

    def start_model(self, bench: Workbench) -> DualBranch:
        """The model that the run starts from; a checkpoint that the page has loaded is not loaded twice.

        Raises:
            InputError: no such checkpoint or backbone.
        """
        start = self.start or ""
        if start.startswith(BACKBONE):
            return start_model(self.config(bench), bench.folder)
        return bench.model(start.strip() or None)

    def address(self, limits: Limits) -> str:
        """The name of the data, or where it lies.

        Raises:
            InputError: nothing is chosen, or a kind that this app does not take.
        """
        kinds = data_kinds(limits)
        if self.kind not in kinds:
            raise InputError(
                f"`data` (={self.kind}) must be one of: {', '.join(kinds)}; this public app reads no "
                "files and data sets of its machine: upload a zip."
            )
        if self.kind == "bundled":
            return BUNDLED_FEATURES.stem
        if self.kind == "torchvision":
            return f"torchvision:{self.dataset.strip()}"
        if self.kind == "folder":
            if not self.folder.strip():
                raise InputError("`folder` (empty) must be the path of a folder of class folders; fill it in.")
            return self.folder.strip()
        if not self.zip_file:
            raise InputError("no zip is chosen; upload one that holds a folder of pictures for each class.")
        return Path(self.zip_file).name

    @property
    def is_data_missing(self) -> bool:
        """Whether a zip or a folder is still to be chosen."""
        return (self.kind == "zip" and not self.zip_file) or (self.kind == "folder" and not self.folder.strip())


def data_kinds(limits: Limits) -> dict[DataKind, str]:
    """The kinds of data that can be trained on here, in words; what lies on the machine only where it is one's own."""
    return {key: words for key, words in DATA_KINDS.items() if limits.takes_paths or key in ("bundled", "zip")}
