"""Which S3 operation a request is, from its method, path and query (path-style addresses)."""

from collections.abc import Container
from urllib.parse import parse_qsl, urlsplit

# (method, parameter that marks it, name); the first that fits counts, "" fits always.
ON_OBJECTS = (
    ("GET", "uploadId", "ListParts"),
    ("GET", "tagging", "GetObjectTagging"),
    ("GET", "retention", "GetObjectRetention"),
    ("GET", "legal-hold", "GetObjectLegalHold"),
    ("GET", "attributes", "GetObjectAttributes"),
    ("GET", "", "GetObject"),
    ("HEAD", "", "HeadObject"),
    ("PUT", "partNumber", "UploadPart"),
    ("PUT", "tagging", "PutObjectTagging"),
    ("PUT", "retention", "PutObjectRetention"),
    ("PUT", "legal-hold", "PutObjectLegalHold"),
    ("PUT", "", "PutObject"),
    ("POST", "uploads", "CreateMultipartUpload"),
    ("POST", "uploadId", "CompleteMultipartUpload"),
    ("POST", "restore", "RestoreObject"),
    ("DELETE", "uploadId", "AbortMultipartUpload"),
    ("DELETE", "tagging", "DeleteObjectTagging"),
    ("DELETE", "", "DeleteObject"),
)
ON_BUCKETS = (
    ("GET", "list-type", "ListObjectsV2"),
    ("GET", "uploads", "ListMultipartUploads"),
    ("GET", "versions", "ListObjectVersions"),
    ("GET", "location", "GetBucketLocation"),
    ("GET", "versioning", "GetBucketVersioning"),
    ("GET", "object-lock", "GetObjectLockConfiguration"),
    ("GET", "lifecycle", "GetBucketLifecycleConfiguration"),
    ("GET", "encryption", "GetBucketEncryption"),
    ("GET", "policy", "GetBucketPolicy"),
    ("GET", "", "ListObjects"),
    ("HEAD", "", "HeadBucket"),
    ("PUT", "versioning", "PutBucketVersioning"),
    ("PUT", "object-lock", "PutObjectLockConfiguration"),
    ("PUT", "lifecycle", "PutBucketLifecycleConfiguration"),
    ("PUT", "policy", "PutBucketPolicy"),
    ("PUT", "", "CreateBucket"),
    ("POST", "delete", "DeleteObjects"),
    ("DELETE", "", "DeleteBucket"),
)
COPIES = {"PutObject": "CopyObject", "UploadPart": "UploadPartCopy"}


def operation_of(method: str, path: str, headers: Container[str] = ()) -> str:
    """The operation's name as in the S3 API reference, or "Other".

    `path` carries the query; `headers` are lower-case names.
    """
    parts = urlsplit(path)
    bucket, _, key = parts.path.lstrip("/").partition("/")
    if not bucket:
        return "ListBuckets" if method == "GET" else "Other"
    parameters = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} | {""}
    for candidate, parameter, name in ON_OBJECTS if key else ON_BUCKETS:
        if candidate == method and parameter in parameters:
            return COPIES.get(name, name) if "x-amz-copy-source" in headers else name
    return "Other"
