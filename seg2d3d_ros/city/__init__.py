"""Many drives in one map of blocks: cut by place, made one by one or on Ray, aligned, with one identity for each object."""
