"""The app from its arguments: models, runs and the page, on a server that listens already.

The page is there before the model: building it needs no more than the descriptions of checkpoints. Whoever asks
meanwhile waits for the model, and the first comparison is computed once for all who open the page.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, suppress

from bsig.inputs.errors import InputError
from bsig.model.devices import chosen_device
from bsig.training.runs import (
    zero_gpu,  # first: a GPU that is lent by the second must be asked for before anything looks for one
)
from bsig.training.runs.folder import WORK_FOLDER, RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.ui.page import build_demo, launch_arguments
from bsig.ui.server.gradio_internals import launched_on
from bsig.ui.server.limits import Limits
from bsig.ui.server.log import log_requests
from bsig.ui.server.memory import check_address_space, leave_start_alone
from bsig.ui.server.starting import StartingServer
from bsig.ui.server.visitor_space import VisitorSpaces
from bsig.ui.workbench import Workbench


def serve(options: argparse.Namespace, server: StartingServer) -> None:
    """Serves the app until it is stopped.

    Raises:
        InputError: too few addresses, an argument that cannot be used, or a checkpoint that cannot be loaded.
    """
    check_address_space()
    log_requests()
    work_folder = options.work_folder or WORK_FOLDER
    with ExitStack() as held:
        spaces = VisitorSpaces(Limits.for_app(public=options.public), work_folder)
        held.callback(spaces.close)
        spaces.use_own_temporary_folder()
        device = zero_gpu.compare_device() or chosen_device(options.device)
        bench = Workbench(
            options.checkpoint, options.checkpoints, device,
            engine=options.engine, visitor_spaces=spaces, models=options.models,
        )  # fmt: skip
        bench.checkpoint_path(options.checkpoint)  # refuses a name that does not exist before the page is built
        runs = spaces.shared.runs or RunFolder(work_folder)
        queue = RunQueue(runs, options.checkpoints, zero_gpu.new_maker(options.checkpoints))
        held.callback(queue.close)
        demo = build_demo(bench, queue)
        hosts = [options.host, *options.allow_host]
        with launched_on(server):
            demo.launch(
                server_name=server.host, server_port=server.port, prevent_thread_lock=True,
                **launch_arguments(bench, hosts),
            )  # fmt: skip
        bench.model(None)
        with suppress(InputError):  # the page says it where it opens
            demo.answer_opening()
        server.note_ready()
        leave_start_alone()
        demo.block_thread()
