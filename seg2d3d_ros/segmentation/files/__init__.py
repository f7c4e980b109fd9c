"""Label images, COCO files or recorded topics → segments."""
