"""Uploads in parts, and the errors they end with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

PART = 5 * 1024**2
"""The smallest part that S3 takes before the last, in bytes."""


def put_in_parts(s3: S3Client, bucket: str, key: str, parts: list[bytes]) -> None:
    """Upload an object as these parts."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    tags = [
        s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part)
        for number, part in enumerate(parts, start=1)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket,
        Key=key,
        UploadId=upload,
        MultipartUpload={
            "Parts": [{"PartNumber": n, "ETag": tag["ETag"]} for n, tag in enumerate(tags, start=1)]
        },
    )


def error_code(error: ClientError) -> str:
    """The code that the service answered with."""
    return error.response["Error"]["Code"]
