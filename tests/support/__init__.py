"""What tests of several areas share: moments, clocks, records and waiting."""
