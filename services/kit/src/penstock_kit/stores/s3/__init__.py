"""The blob store on anything that speaks the S3 API, through minio-py."""
