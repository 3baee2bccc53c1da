"""The chart, installed by Helm on a real node with the image that the Dockerfile makes."""
