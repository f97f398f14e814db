"""OpenAI's responses: items in, items out, kept in between.

ResponsesRequest -> request (items -> messages) -> chat_generation -> Generation
                                 writer <- output <- events
"""
