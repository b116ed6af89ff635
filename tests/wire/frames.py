"""Frames as the exchange writes them: one of each kind."""

from __future__ import annotations

BOOK_SNAPSHOT = (
    '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD","bids":[{"price":64525.0,"qty":0.53807066},'
    '{"price":64524.2,"qty":0.03095975}],"asks":[{"price":64525.1,"qty":0.01077490}],"checksum":2175437505,'
    '"timestamp":"2026-07-19T17:54:39.753424Z"}]}'
)
BOOK_UPDATE = (
    '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"asks":[{"price":64525.3,'
    '"qty":0.00000000},{"price":64532.8,"qty":1.23479983}],"checksum":2175437505,'
    '"timestamp":"2026-07-19T17:54:39.784623Z"}]}'
)
TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":81011.5,"qty":0.00123440,'
    '"ord_type":"limit","trade_id":100320028,"timestamp":"2026-05-14T15:06:09.020392Z"}]}'
)
TICKER = (
    '{"channel":"ticker","type":"snapshot","data":[{"symbol":"USDT/USD","bid":0.99980,"bid_qty":44620.68691883,'
    '"ask":0.99981,"ask_qty":1087605.70466858,"last":0.99981,"volume":270638277.50461281,"vwap":0.99983,"low":0.99959,'
    '"high":1.00000,"change":0.00005,"change_pct":0.01,"trades":38144,"timestamp":"2026-09-24T03:54:18.054886Z"}]}'
)
CANDLE = (
    '{"channel":"ohlc","type":"update","timestamp":"2026-09-10T17:35:52.114514810Z","data":[{"symbol":"BTC/USDT",'
    '"open":77499.9,"high":77509.2,"low":77467.5,"close":77509.20,"trades":15,"volume":0.58051276,"vwap":77482.2,'
    '"interval_begin":"2026-09-10T17:35:00.000000000Z","interval":1,"timestamp":"2026-09-10T17:36:00.000000Z"}]}'
)
ASSET = (
    '{"id":"USD","status":"enabled","precision":4,"precision_display":2,"borrowable":true,'
    '"collateral_value":1.00,"margin_rate":0.025000}'
)
PAIR = (
    '{"symbol":"BTC/USD","base":"BTC","quote":"USD","status":"online","qty_precision":8,"qty_increment":1E-8,'
    '"price_precision":1,"cost_precision":5,"marginable":true,"has_index":true,"cost_min":0.50,"margin_initial":0.20,'
    '"position_limit_long":300,"position_limit_short":240,"tick_size":0.1,"price_increment":0.1,"qty_min":0.00010000}'
)
INSTRUMENTS = f'{{"channel":"instrument","type":"snapshot","data":{{"assets":[{ASSET}],"pairs":[{PAIR}]}}}}'
STATUS = (
    '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",'
    '"connection_id":16174536464690282295,"upcoming_maintenance":[{"stage":"announced"}],"emergency":["none"]}]}'
)
HEARTBEAT = '{"channel":"heartbeat"}'
ACK = (
    '{"method":"subscribe","req_id":17,"result":{"channel":"ohlc","interval":1,"snapshot":true,"symbol":"BTC/USD",'
    '"warnings":["timestamp is deprecated, use interval_begin"]},"success":true,"time_in":"2026-08-02T03:35:50Z"}'
)
REFUSAL = '{"error":"Already subscribed","method":"subscribe","req_id":2,"success":false,"symbol":"BTC/USD"}'
REFUSAL_OF_A_CHANNEL = (
    '{"channel":"level3","error":"Rate limit for snapshot requests exceeded, when trying to subscribe to YFI/USD '
    'level3 snapshot","method":"subscribe","status":"error","success":false}'
)
PONG = '{"method":"pong","req_id":101,"time_in":"2026-08-02T03:36:10.100001Z","time_out":"2026-08-02T03:36:10.100021Z"}'
RATE_LIMIT = '{"Error":"Exceeded msg rate"}'

LISTS = (BOOK_SNAPSHOT, BOOK_UPDATE, TRADE, TICKER, CANDLE)
"""The channels whose data is a list of entries with a symbol."""
FRAMES = (
    *LISTS,
    INSTRUMENTS,
    STATUS,
    HEARTBEAT,
    ACK,
    REFUSAL,
    REFUSAL_OF_A_CHANNEL,
    PONG,
    RATE_LIMIT,
)
