"""Where requests go first: the machine whose address a connection is opened to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError
from botocore.utils import get_environ_proxies

from btrfs_to_s3.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_s3 import S3Client

_CAPTURE = "btrfs-to-s3-destination"


class _AddressedError(Exception):
    """Carries the URL of a request that is not made."""


def destination(client: S3Client, bucket: str) -> str:
    """The host of requests about the bucket, or that of the proxy they go through.

    It is botocore that puts the region and, by the addressing style, the bucket into the name. It
    is asked by a request that ends before it is signed: nothing is sent, no credentials are
    looked for. ``ConfigError`` when there is no such bucket's name.
    """
    events = client.meta.events
    events.register_first("before-call.s3.HeadBucket", _capture, unique_id=_CAPTURE)
    try:
        client.head_bucket(Bucket=bucket)
    except _AddressedError as found:
        url = str(found)
    except BotoCoreError as error:
        raise ConfigError(f"requests about the bucket {bucket} go nowhere: {error}") from error
    else:
        raise AssertionError("botocore called no handler before the call")
    finally:
        events.unregister("before-call.s3.HeadBucket", _capture, unique_id=_CAPTURE)
    return _first_stop(url, get_environ_proxies(client.meta.endpoint_url))


def _capture(params: Mapping[str, object], **_: object) -> None:
    raise _AddressedError(params["url"])


def _first_stop(url: str, proxies: Mapping[str, str]) -> str:
    """The host of the proxy for URLs of this scheme, else the URL's own (botocore.httpsession)."""
    proxy = proxies.get(urlsplit(url).scheme)
    if proxy:
        url = proxy if "//" in proxy else f"http://{proxy}"
    return urlsplit(url).hostname or ""
