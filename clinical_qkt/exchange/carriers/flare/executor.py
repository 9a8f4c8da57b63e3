"""A site's part in a sweep: a FLARE executor that reads and writes the site's spool, and nothing else."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_def import JobMetaKey
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.apis.signal import Signal

from clinical_qkt.exchange.carriers.flare.messages import CONTENT, TASK, Order, read, written
from clinical_qkt.exchange.carriers.flare.settings import read_settings
from clinical_qkt.exchange.carriers.flare.spool import Spool, carry_out


class SiteExecutor(Executor):
    """Takes no argument: where the spool is, and who may start a sweep, stands in the site's own folder.

    Whatever goes wrong is logged as the kind of error alone: no path, name or count gets into FLARE's logs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._spool: Spool | None = None
        self._open = contextlib.ExitStack()

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Let go of the spool when the job ends."""
        if event_type == EventType.END_RUN:
            self._open.close()

    def execute(
        self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal
    ) -> Shareable:
        """One round. An error that left this method would end the job for all hospitals."""
        try:
            order = read(Order, shareable.get(CONTENT))
            if task_name != TASK or order is None:
                return make_reply(ReturnCode.BAD_TASK_DATA)
            spool = self._spool = self._spool or self._opened(fl_ctx)
            if spool is None:
                return make_reply(ReturnCode.EXECUTION_RESULT_ERROR)
            reply = make_reply(ReturnCode.OK)
            reply[CONTENT] = written(carry_out(order, spool, lambda: abort_signal.triggered))
            return reply
        except Exception as e:
            self.log_error(fl_ctx, type(e).__name__, fire_event=False)
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    def _opened(self, fl_ctx: FLContext) -> Spool | None:
        """The site's spool, held for this job; None if its submitter may not, or another sweep holds it."""
        site, meta = fl_ctx.get_identity_name(), fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        local = Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_site_config_dir())
        settings = read_settings(local, site)
        if not settings.allows(
            meta.get(JobMetaKey.SUBMITTER_ORG.value), meta.get(JobMetaKey.SUBMITTER_ROLE.value)
        ):
            self.log_error(fl_ctx, "whoever submitted this job may not", fire_event=False)
            return None
        spool = Spool(settings.spool, site, largest=settings.largest_parcel, quota=settings.quota)
        if not self._open.enter_context(spool.held()):
            return None
        spool.tidy()
        return spool
