"""Dialogue text written for this project: kinds of questions with their answers, and talks made of them."""
