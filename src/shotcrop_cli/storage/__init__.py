"""Where photos and crops are: folders of this machine, and object stores behind URLs such as s3://bucket/photos."""
