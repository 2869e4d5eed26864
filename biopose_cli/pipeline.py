"""The stages in their order, and what each reads and writes."""
