"""The relay's part in a sweep: a FLARE controller that passes pieces on, writes no file, decides nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, Task
from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal

from clinical_qkt.exchange.carriers.flare.messages import CONTENT, TASK, Order, Report, read, written
from clinical_qkt.exchange.carriers.flare.outcome import MISSED, REACHED
from clinical_qkt.exchange.carriers.flare.rounds import Sweep

_CHECK, _TENSORS = 0.05, "nvflare.app_opt.pt.tensor_downloader"


class Relay(Controller):
    """Runs one sweep over the sites that the job was deployed to.

    Args:
        seconds: how long a round waits for a site; then the site is left to the next sweep.
        whole: seconds after which the sweep begins nothing new.
    """

    def __init__(self, seconds: int = 60, whole: int = 900) -> None:
        super().__init__(task_check_period=_CHECK)
        self.seconds, self.whole = int(seconds), int(whole)
        self._sweep = Sweep([])
        self._reports: dict[str, Report | None] = {}

    def start_controller(self, fl_ctx: FLContext) -> None:
        """Take note of the sites of this job."""
        self._sweep = Sweep(sorted(client.name for client in self._engine.get_clients()))

    def stop_controller(self, fl_ctx: FLContext) -> None:
        """Say whom the sweep reached, also where it was aborted."""
        reached = self._sweep.reached - self._sweep.silent
        self.log_info(fl_ctx, REACHED + ", ".join(sorted(reached)))
        self.log_info(fl_ctx, MISSED + ", ".join(sorted(set(self._sweep.sites) - reached)))
        # FLARE's clean-up would now import torch for tensors that no sweep has: 180 MB and seconds
        sys.modules.setdefault(_TENSORS, None)  # type: ignore[arg-type]

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        """Round after round, until nothing is left to do."""
        ends = time.monotonic() + self.whole
        while (orders := self._sweep.orders()) and not abort_signal.triggered:
            self._sweep.heard(self._round(orders, abort_signal, fl_ctx))
            if time.monotonic() > ends:
                self._sweep.close()

    def _round(
        self, orders: Mapping[str, Order], abort_signal: Signal, fl_ctx: FLContext
    ) -> dict[str, Report | None]:
        self._reports = dict.fromkeys(orders)
        tasks = [self._sent(site, order, fl_ctx) for site, order in orders.items()]
        while any(task.completion_status is None for task in tasks):
            if abort_signal.triggered:
                self.cancel_all_tasks()
                break
            time.sleep(_CHECK)
        reports, self._reports = self._reports, {}
        return reports

    def _sent(self, site: str, order: Order, fl_ctx: FLContext) -> Task:
        data = Shareable()
        data[CONTENT] = written(order)
        task = Task(name=TASK, data=data, timeout=self.seconds, result_received_cb=self._received)
        self.send(task, fl_ctx, targets=[site])
        return task

    def _received(self, client_task: ClientTask, fl_ctx: FLContext) -> None:
        """A site's report; FLARE has compared its name with its certificate."""
        result, client_task.result = client_task.result, None
        if isinstance(result, Shareable) and result.get_return_code() == ReturnCode.OK:
            self._reports[client_task.client.name] = read(Report, result.get(CONTENT))

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        """A report that came too late: the next sweep asks again."""
