"""企业服务一体化平台: which enterprise holds which prefixes, and how its applications stand."""
