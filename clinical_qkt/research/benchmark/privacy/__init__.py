"""What attacks read off packages, students and masks, beside the recall that a protection costs."""
