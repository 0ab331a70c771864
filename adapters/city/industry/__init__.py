"""工业互联网综合平台: products with their parameters, by manufacturer and template."""
