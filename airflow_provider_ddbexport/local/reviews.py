"""The table *Reviews* of the demo and the documentation, with a month of history to go back to.

Partition key ``User``, sort key ``Book``; what a table grows in practice: nested maps, sets, binaries, attributes that
appear late, whole numbers that become halves, and one attribute (``Edition``) that is now a number, now text.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_ddbexport.local.handle import LocalAws

TABLE_NAME = "Reviews"
BUCKET = "ddbexport-demo"
TOPIC = "ddbexport-demo"

_BATCH = 25
_SEED = 20_260_114

_BOOKS = (
    ("Middlemarch", "George Eliot"),
    ("The Mill on the Floss", "George Eliot"),
    ("Silas Marner", "George Eliot"),
    ("Persuasion", "Jane Austen"),
    ("Emma", "Jane Austen"),
    ("Northanger Abbey", "Jane Austen"),
    ("Sense and Sensibility", "Jane Austen"),
    ("Bleak House", "Charles Dickens"),
    ("Great Expectations", "Charles Dickens"),
    ("Hard Times", "Charles Dickens"),
    ("Frankenstein", "Mary Shelley"),
    ("The Last Man", "Mary Shelley"),
    ("Jane Eyre", "Charlotte Brontë"),
    ("Villette", "Charlotte Brontë"),
    ("Wuthering Heights", "Emily Brontë"),
    ("Moby-Dick", "Herman Melville"),
    ("Typee", "Herman Melville"),
    ("Война и мир", "Лев Толстой"),
    ("Анна Каренина", "Лев Толстой"),
    ("Die Verwandlung", "Franz Kafka"),
)
_USERS = tuple(
    f"{first}.{last}"
    for first in ("ada", "björn", "carla", "dmitri", "elif", "femi", "grace", "hana", "ivo", "june")
    for last in ("abbot", "baker", "cole", "doyle", "evans", "frost")
)
_VERDICTS = (
    "Could not put it down.",
    "Read it twice; the second time for the sentences.",
    "Too long by a third.",
    "Everyone told me to read this. Everyone was right.",
    "The ending redeems the middle.",
    "Not for me.",
    "",
)
_TAGS = ("classic", "favourite", "gift", "school", "slow", "witty", "gothic", "reread")
_CITIES = ("London", "Zürich", "Kraków", "Lagos", "Osaka")


@dataclass(frozen=True, slots=True)
class SeededReviews:
    """What was seeded.

    Attributes:
        first_day, last_day: midnights between which the writes lie; each midnight after the first is worth a snapshot.
        items: how many the table holds now.
    """

    table_name: str
    table_arn: str
    bucket: str
    first_day: datetime
    last_day: datetime
    items: int


def seed_reviews(aws: LocalAws, *, days: int = 30, items: int = 400, end: datetime | None = None) -> SeededReviews:
    """Make the table Reviews, recovery on, with *days* days of puts, updates and deletes; and the bucket and
    the SNS topic of the example DAGs.

    About *items* reviews are left. The same arguments give the same items at the same times of day; the last day ends
    at the midnight (UTC) before *end*, by default the emulator's now. Leaves the clock at real time. Not repeatable:
    the table must not exist.
    """
    last_day = (end or aws.clock.now()).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first_day = last_day - timedelta(days=days)
    dynamodb = aws.client("dynamodb")
    try:
        aws.clock.set(first_day)
        arn: str = dynamodb.create_table(
            TableName=TABLE_NAME,
            AttributeDefinitions=[
                {"AttributeName": "User", "AttributeType": "S"},
                {"AttributeName": "Book", "AttributeType": "S"},
            ],
            KeySchema=[
                {"AttributeName": "User", "KeyType": "HASH"},
                {"AttributeName": "Book", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )["TableDescription"]["TableArn"]
        dynamodb.update_continuous_backups(
            TableName=TABLE_NAME,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35},
        )
        aws.client("s3").create_bucket(Bucket=BUCKET)
        aws.client("sns").create_topic(Name=TOPIC)
        left = _Seeder(aws, dynamodb, days, items).write(first_day)
    finally:
        aws.clock.reset()
    return SeededReviews(TABLE_NAME, arn, BUCKET, first_day, last_day, left)


class _Seeder:
    def __init__(self, aws: LocalAws, dynamodb: Any, days: int, items: int) -> None:
        self._aws = aws
        self._dynamodb = dynamodb
        self._days = days
        self._random = random.Random(_SEED)  # noqa: S311 -- made-up reviews, the same every time
        pairs = [(user, book, author) for user in _USERS for book, author in _BOOKS]
        self._random.shuffle(pairs)
        # One in twelve is deleted again.
        self._pairs = pairs[: items + items // 12]
        self._written: list[tuple[str, str]] = []

    def write(self, first_day: datetime) -> int:
        for day in range(self._days):
            morning = first_day + timedelta(days=day, hours=8)
            start, end = (len(self._pairs) * step // self._days for step in (day, day + 1))
            self._aws.clock.set(morning)
            self._put([self._review(day, *pair) for pair in self._pairs[start:end]])
            self._written += [(user, book) for user, book, _ in self._pairs[start:end]]
            self._aws.clock.set(morning + timedelta(hours=6))
            self._change_some()
            self._delete_some(max(1, len(self._pairs) // 12 // self._days))
        return len(self._written)

    def _put(self, reviews: list[dict[str, Any]]) -> None:
        for start in range(0, len(reviews), _BATCH):
            batch = [{"PutRequest": {"Item": item}} for item in reviews[start : start + _BATCH]]
            self._dynamodb.batch_write_item(RequestItems={TABLE_NAME: batch})

    def _change_some(self) -> None:
        for user, book in self._random.sample(self._written, min(3, len(self._written))):
            self._dynamodb.update_item(
                TableName=TABLE_NAME,
                Key={"User": {"S": user}, "Book": {"S": book}},
                UpdateExpression="SET Rating = :rating, Review = :review ADD Edits :one",
                ExpressionAttributeValues={
                    ":rating": {"N": str(self._random.randint(1, 5))},
                    ":review": {"S": f"On reflection: {self._random.choice(_VERDICTS)}"},
                    ":one": {"N": "1"},
                },
            )

    def _delete_some(self, count: int) -> None:
        for _ in range(min(count, len(self._written) - 1)):
            user, book = self._written.pop(self._random.randrange(len(self._written)))
            self._dynamodb.delete_item(TableName=TABLE_NAME, Key={"User": {"S": user}, "Book": {"S": book}})

    def _review(self, day: int, user: str, book: str, author: str) -> dict[str, Any]:
        chance = self._random
        share = day / self._days
        item: dict[str, Any] = {
            "User": {"S": user},
            "Book": {"S": book},
            "Author": {"S": author},
            # Halves come into fashion in the last third.
            "Rating": {"N": f"{chance.randint(2, 10) / 2:g}" if share > 2 / 3 else str(chance.randint(1, 5))},
            "Review": {"S": chance.choice(_VERDICTS)},
            "Details": {
                "M": {
                    "Format": {"S": chance.choice(("paper", "e-book", "audio"))},
                    "Pages": {"N": str(chance.randint(90, 1200))},
                    "Shop": {"M": {"City": {"S": chance.choice(_CITIES)}, "Online": {"BOOL": chance.random() < 0.5}}},
                }
            },
        }
        if chance.random() < 0.6:
            item["Tags"] = {"SS": sorted(chance.sample(_TAGS, chance.randint(1, 3)))}
        if chance.random() < 0.3:
            item["Chapters"] = {"NS": [str(number) for number in sorted(chance.sample(range(1, 40), 3))]}
        if chance.random() < 0.2:
            item["Cover"] = {"B": chance.randbytes(12)}
        if chance.random() < 0.2:
            item["Quotes"] = {"L": [{"S": chance.choice(_VERDICTS)}, {"N": str(chance.randint(1, 900))}]}
        if chance.random() < 0.1:
            item["Returned"] = {"NULL": True}
        if share > 1 / 3:
            item["Verified"] = {"BOOL": chance.random() < 0.8}
            if chance.random() < 0.5:
                item["Edition"] = {"S": "second"} if chance.random() < 0.1 else {"N": str(chance.randint(1, 9))}
        return item
