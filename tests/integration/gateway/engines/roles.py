"""What the two users of a broker may do."""

import asyncio

import nats


async def check_roles(writer_url: str, reader_url: str) -> None:
    """Have the writer publish and the reader read, and the reader refused whatever changes something."""
    writer, refused = await nats.connect(writer_url), asyncio.Event()

    async def hear(error: Exception) -> None:
        if "permissions violation" in str(error).lower():
            refused.set()

    reader = await nats.connect(reader_url, error_cb=hear)
    try:
        await writer.jetstream().add_stream(name="IMV", subjects=["imv.v1.>", "imv.relay.>"])
        await writer.jetstream().publish("imv.v1.order.routed.1", b"{}")
        pulled = await reader.jetstream().subscribe("imv.v1.>", stream="IMV", ordered_consumer=True)
        assert (await pulled.next_msg(5)).data == b"{}"
        for subject in (
            "imv.v1.order.routed.1",
            "imv.relay.1",
            "$JS.API.STREAM.DELETE.IMV",
            "other",
        ):
            refused.clear()
            await reader.publish(subject, b"{}")
            await asyncio.wait_for(refused.wait(), 5)
        refused.clear()
        await reader.subscribe("imv.relay.>")
        await asyncio.wait_for(refused.wait(), 5)
        assert (await writer.jetstream().stream_info("IMV")).state.messages == 1
    finally:
        await reader.close()
        await writer.close()
