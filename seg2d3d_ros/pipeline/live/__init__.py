"""What a live map adds: keyframes that come singly, a worker beside, and figures while it grows."""
