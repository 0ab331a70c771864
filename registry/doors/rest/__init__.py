"""The REST door (CONTRACT "Registry HTTP"): one table of routes, from which the OpenAPI document is made as well."""
