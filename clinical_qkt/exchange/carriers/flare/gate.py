"""A filter of FLARE for each task's data and result: nothing but pieces of sealed parcels gets through.

A site names it in its own ``local/privacy.json``, so that it stands there whatever a job says.
"""

from __future__ import annotations

from nvflare.apis.filter import Filter, FilterChainType, FilterContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import ReservedHeaderKey, Shareable

from clinical_qkt.exchange.carriers.flare.fence import Fence
from clinical_qkt.exchange.carriers.flare.messages import CONTENT, Order, Report, read, written


class ParcelGate(Filter):
    """Rebuilds what passes from its checked parts; all else in it is left behind.

    A task's data keeps FLARE's own headers, which say what task it is; a result keeps its return code alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fence: Fence | None = None

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """A task's data or its result, as may pass. Raises nothing: an error's traceback would be logged."""
        if self._fence is None:
            self._fence = Fence(fl_ctx.get_identity_name())
        try:
            if self.get_prop(FilterContextKey.CHAIN_TYPE) == FilterChainType.TASK_RESULT_CHAIN:
                return self._result(shareable, self._fence)
            return self._data(shareable, self._fence)
        except Exception as e:
            self.log_error(fl_ctx, type(e).__name__, fire_event=False)
            return Shareable()

    def _data(self, shareable: Shareable, fence: Fence) -> Shareable:
        passing = Shareable()
        passing[ReservedHeaderKey.HEADERS] = shareable.get(ReservedHeaderKey.HEADERS, {})
        order = read(Order, shareable.get(CONTENT))
        if order is not None:
            passing[CONTENT] = written(fence.coming(order))
        return passing

    def _result(self, shareable: Shareable, fence: Fence) -> Shareable:
        passing = Shareable()
        passing.set_return_code(shareable.get_return_code())
        report = read(Report, shareable.get(CONTENT))
        if report is not None:
            passing[CONTENT] = written(fence.going(report))
        return passing
