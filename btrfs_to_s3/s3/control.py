"""``ports.BatchJobs`` on the S3 Control API.

Source: S3 Control API, CreateJob and DescribeJob; S3 User Guide, "Specifying a manifest" and
"Restore objects". Only Amazon S3 has it. Another service is asked once, at its own endpoint and
never with its credentials at Amazon's; whatever it answers but a job means that it has none.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from btrfs_to_s3.errors import AccessDeniedError, ConfigError, InterruptedRunError, RepositoryError
from btrfs_to_s3.model.batch_job import BatchJobState
from btrfs_to_s3.s3.answers import BAD_REQUEST
from btrfs_to_s3.s3.translate import Translator, UnsupportedRequestError
from btrfs_to_s3.s3.watch import watch_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from btrfs_to_s3.model.batch_job import BatchThawOrder
    from btrfs_to_s3.s3.session import Session

T = TypeVar("T")
_log = logging.getLogger(__name__)
_AMAZON: Final = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_RIGHTS: Final = (
    "the credentials need s3:CreateJob, s3:DescribeJob and iam:PassRole for the role; the role "
    "needs s3:RestoreObject on chunks/, s3:GetObject on the manifest and s3:PutObject on the "
    "report, and must trust batchoperations.s3.amazonaws.com"
)


class Identity(Protocol):
    """What is used of botocore's STS client."""

    def get_caller_identity(self) -> Mapping[str, Any]:
        """Who the credentials are."""


class Control(Protocol):
    """What is used of botocore's S3 Control client."""

    def create_job(self, **request: object) -> Mapping[str, Any]:
        """Start a job."""

    def describe_job(self, **request: object) -> Mapping[str, Any]:
        """How far a job is."""


@dataclass(frozen=True, slots=True)
class Clients:
    """botocore's clients of the two APIs."""

    identity: Identity
    control: Control


class S3BatchJobs:
    """Jobs of the account that the store's credentials belong to; making one sends nothing."""

    def __init__(self, session: Session, clients: Clients | None = None) -> None:
        self._session = session
        self._given = clients
        host = urlsplit(session.client.meta.endpoint_url).hostname or ""
        self._amazon = clients is not None or host.endswith(_AMAZON)

    def create(self, order: BatchThawOrder) -> str:
        """Start a job; its id."""
        request = self.request_of(order)
        try:
            answer = self._call(
                "CreateJob",
                order.manifest_key,
                lambda _: self._clients.control.create_job(**request),
            )
        except AccessDeniedError as error:
            raise AccessDeniedError(error.message, hint=_RIGHTS, **error.context) from error
        except UnsupportedRequestError:
            raise
        except RepositoryError as error:
            if error.context.get("status") != BAD_REQUEST:
                raise
            raise RepositoryError(
                f"the job was refused: {error.message}",
                hint=f"check --role and --report-prefix; {_RIGHTS}",
                **error.context,
            ) from error
        job_id = str(answer["JobId"])
        _log.info("S3 Batch Operations job %s", job_id)
        return job_id

    def state(self, job_id: str) -> BatchJobState:
        """How far a job is."""
        account = self._account
        answer = self._call(
            "DescribeJob",
            job_id,
            lambda _: self._clients.control.describe_job(AccountId=account, JobId=job_id),
        )
        job: Mapping[str, Any] = answer["Job"]
        progress: Mapping[str, Any] = job.get("ProgressSummary", {})
        reasons = [_reason(each) for each in job.get("FailureReasons", ())]
        if job.get("StatusUpdateReason"):
            reasons.append(str(job["StatusUpdateReason"]))
        return BatchJobState(
            job_id=job_id,
            status=str(job["Status"]),
            total=int(progress.get("TotalNumberOfTasks", 0)),
            succeeded=int(progress.get("NumberOfTasksSucceeded", 0)),
            failed=int(progress.get("NumberOfTasksFailed", 0)),
            reasons=tuple(reasons),
        )

    def request_of(self, order: BatchThawOrder) -> dict[str, Any]:
        """The CreateJob request of an order."""
        # ARNs of one account share its partition (aws, aws-cn, aws-us-gov).
        partition = order.role_arn.split(":")[1]
        bucket = f"arn:{partition}:s3:::{self._session.settings.bucket}"
        return {
            "AccountId": self._account,
            "ConfirmationRequired": False,
            "ClientRequestToken": order.token,
            "Description": f"btrfs-to-s3 thaw of {order.manifest_key}",
            "Operation": {
                "S3InitiateRestoreObject": {
                    "ExpirationInDays": order.days,
                    "GlacierJobTier": order.tier.value.upper(),
                }
            },
            "Manifest": {
                "Spec": {
                    "Format": "S3BatchOperations_CSV_20180820",
                    "Fields": ["Bucket", "Key", *(["VersionId"] if order.versions else [])],
                },
                "Location": {
                    "ObjectArn": f"{bucket}/{self._session.full_key(order.manifest_key)}",
                    "ETag": order.manifest_etag,
                },
            },
            "Report": {
                "Bucket": bucket,
                "Format": "Report_CSV_20180820",
                "Enabled": True,
                "Prefix": order.report_prefix,
                "ReportScope": "FailedTasksOnly",
            },
            "Priority": order.priority,
            "RoleArn": order.role_arn,
        }

    @cached_property
    def _account(self) -> str:
        """The account's twelve digits (STS, GetCallerIdentity, which needs no permission)."""
        answer = self._call(
            "GetCallerIdentity", "", lambda _: self._clients.identity.get_caller_identity()
        )
        return str(answer["Account"])

    @cached_property
    def _clients(self) -> Clients:
        if self._given is not None:
            return self._given
        settings = self._session.settings
        config = Config(
            connect_timeout=settings.connect_timeout_s,
            read_timeout=settings.read_timeout_s,
            retries={"total_max_attempts": 1, "mode": "standard"},
            user_agent_extra="btrfs-to-s3",
        )
        try:
            # The stubs know a client by a literal name only, and those of S3 alone are installed.
            session: Any = boto3.Session(
                profile_name=settings.profile,
                region_name=settings.region or self._session.client.meta.region_name,
            )
            url = None if self._amazon else self._session.client.meta.endpoint_url
            ca = settings.ca_bundle
            sts = session.client("sts", endpoint_url=url, verify=ca, config=config)
            control = session.client("s3control", endpoint_url=url, verify=ca, config=config)
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"no S3 Control client can be made: {error}") from error
        for client in (sts, control):
            watch_connections(client, self._session.watch)
        return Clients(sts, control)

    def _call(self, operation: str, key: str, attempt: Callable[[int], T]) -> T:
        """Under the retry policy at Amazon; once elsewhere."""
        if self._amazon:
            return self._session.call(operation, key, attempt)
        try:
            return attempt(1)
        except (RepositoryError, InterruptedRunError):
            raise
        except Exception as error:
            failure = Translator(self._session.settings, self._session.now)(error, operation, key)
            if failure is None:
                raise
            raise UnsupportedRequestError(
                f"{self._session.settings.service} has no S3 Control API, which S3 Batch "
                f"Operations need: {failure.error.message}",
                hint="leave --batch-operations out: then each object is asked for by itself",
            ) from error


def _reason(found: Mapping[str, Any]) -> str:
    words = (found.get("FailureCode"), found.get("FailureReason"))
    return ": ".join(str(word) for word in words if word)
