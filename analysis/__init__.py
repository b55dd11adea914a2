"""From a store to an answer: intervals over seeds, the MI account, figures and the report. No torch, no ray."""
