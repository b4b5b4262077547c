"""docs/api.md and OpenAPI documents, written from the routes that stand in a project's source."""
