"""What the oracle has spent and is asked for, rebuilt from oracle.labels and the local ledger.

oracle.labels holds every label and every declined filter with its cost, from all machines. The ledger adds what
left no label: failed calls, and answers that were paid but not yet published when the process ended.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer

from consumers.reading import read_to_end, reader
from consumers.records import Record
from core.budget import Budget, BudgetController
from core.errors import PackageError, RefusedRecord
from core.inventory import activation
from core.messages import Labelled
from core.settings import Settings
from core.topics import ORACLE_LABELS
from models.oracle.ledger import Ledger
from models.oracle.replay import PREFIX
from models.oracle.rubric import find_rubric

log = logging.getLogger("stillhouse.oracle")

ASK = "oracle-ask"
REQUEST = "oracle-request"
"""Headers of oracle.labels: which ask was paid for, and which request it answers. A redelivery repeats both."""

HISTORY_SEC = 7 * 86_400


@dataclass
class Tally:
    """Asks of one filter today."""

    labels: int = 0
    declined: int = 0
    usd: float = 0.0


@dataclass
class Spending:
    """The budget's state, the cost of every ask that it counts already, and today's tally by filter."""

    controller: BudgetController
    counted: dict[str, float] = field(default_factory=dict)
    filters: dict[str, Tally] = field(default_factory=dict)
    failed_usd: float = 0.0

    def tally(self, costs: Mapping[str, float], declined: Mapping[str, float]) -> None:
        for name, usd in costs.items():
            entry = self.filters.setdefault(name, Tally())
            entry.labels += 1
            entry.usd += usd
        for name in declined:
            self.filters.setdefault(name, Tally()).declined += 1


def budget_of(settings: Settings) -> Budget:
    """Limits from the settings, shares from the active filters' config.yaml."""
    shares = {}
    for name, version in activation(settings.filters).filters.items():
        try:
            shares[name] = find_rubric(settings.filters, name, version).spec.routing.budget_share
        except PackageError as error:
            log.warning("%s has no share of the oracle's budget: %s", name, error)
    return Budget(settings.oracle_daily_usd, settings.oracle_daily_calls, shares)


async def rebuild_spending(settings: Settings, ledger: Ledger, now: float) -> Spending:
    """Read the last week. Raises TransientError where no broker answers."""
    spending = Spending(BudgetController(budget_of(settings)))
    since = now - HISTORY_SEC

    def take(record: Record) -> None:
        if record.timestamp_ms / 1000 >= since:
            count_record(spending, record, now)

    async with reader(settings, ORACLE_LABELS) as consumer:
        if not settings.embedded:
            await _seek(consumer, since)
        await read_to_end(consumer, take)
    count_ledger(spending, ledger, since, now)
    return spending


def count_record(spending: Spending, record: Record, now: float) -> None:
    """Count one record of oracle.labels, once; labels of the replay oracle cost nothing and are no calls."""
    name = record.header(ASK) or record.header(REQUEST)
    key = name.decode() if name else f"{record.topic}/{record.partition}/{record.offset}"
    if key in spending.counted:
        return
    try:
        labelled = Labelled.from_bytes(record.body)
    except RefusedRecord as refusal:
        log.warning("A record of %s is not counted: %s", ORACLE_LABELS, refusal)
        return
    costs = {name: label.cost_usd for name, label in labelled.labels.items() if not label.oracle.startswith(PREFIX)}
    declined = {name: part.cost_usd for name, part in labelled.declined.items() if part.reason == "budget"}
    spending.counted[key] = sum(costs.values())
    at = record.timestamp_ms / 1000
    spending.controller.recall(at, now, costs, declined)
    if _same_day(at, now):
        spending.tally(dict.fromkeys(labelled.labels, 0.0) | costs, declined)


def count_ledger(spending: Spending, ledger: Ledger, since: float, now: float) -> None:
    """Count asks that cost money and are not on oracle.labels."""
    for spend in ledger.spending("stream", since):
        if spend.key not in spending.counted:
            spending.counted[spend.key] = spend.cost_usd
            costs = dict.fromkeys(spend.filters, spend.cost_usd / len(spend.filters))
            spending.controller.recall(spend.at, now, costs, {})
            spending.failed_usd += spend.cost_usd if _same_day(spend.at, now) else 0.0


def _same_day(at: float, now: float) -> bool:
    return at // 86_400 == now // 86_400


async def _seek(consumer: AIOKafkaConsumer, since: float) -> None:
    """Start every partition at `since`; one without later records at its end."""
    partitions = consumer.assignment()
    found = await consumer.offsets_for_times(dict.fromkeys(partitions, int(since * 1000)))
    for partition in partitions:
        if (place := found.get(partition)) is not None:
            consumer.seek(partition, place.offset)
        else:
            await consumer.seek_to_end(partition)
