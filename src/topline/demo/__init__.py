"""The demo company: two years of a believable business, played through the real actions under the settable clock."""
