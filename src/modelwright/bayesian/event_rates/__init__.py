"""The hierarchical event-rate model: how many events per entity, which windows are unusual, what comes next."""
