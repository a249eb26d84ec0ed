// Chat completions and failures through the official Node package.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import OpenAI from "openai";
import { startMaru } from "./maru.mjs";

const ENGLISH = [{ role: "user", content: "Hello! Who are you?" }];
const KOREAN = [{ role: "user", content: "안녕하세요! 당신은 누구인가요?" }];
const EMOJI = [{ role: "user", content: "👩‍👩‍👧‍👦🇰🇷 Say hello! 👋🏽" }];

let open, keyed, client, model;

const clientOf = (server, apiKey = "unused") => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 });

before(async () => {
  [open, keyed] = await Promise.all([startMaru(), startMaru("--api-key", "sk-one", "--api-key", "sk-two")]);
  client = clientOf(open);
  model = (await client.models.list()).data[0].id;
});

after(async () => {
  assert.equal(await open.stop(), 0);
  assert.equal(await keyed.stop(), 0);
});

const create = (parameters) => client.chat.completions.create({ model, temperature: 0, ...parameters });

async function streamed(parameters) {
  const chunks = [];
  const texts = new Map();
  for await (const chunk of await create({ stream: true, ...parameters })) {
    chunks.push(chunk);
    for (const { index, delta } of chunk.choices) {
      texts.set(index, (texts.get(index) ?? "") + (delta.content ?? ""));
    }
  }
  return { chunks, texts };
}

// A usage without what was found cached, which depends on what was asked before.
const apartFromTheCache = ({ prompt_tokens_details, ...usage }) => {
  const { cached_tokens, ...details } = prompt_tokens_details;
  return { ...usage, details };
};

describe("chat completions", () => {
  for (const [name, messages] of Object.entries({ ENGLISH, KOREAN, EMOJI })) {
    test(`a stream is the whole answer in pieces: ${name.toLowerCase()}`, async () => {
      const whole = await create({ messages });
      assert.equal(whole.object, "chat.completion");
      assert.equal(whole.choices.length, 1);
      const [{ message, finish_reason }] = whole.choices;
      assert.ok(message.content.length > 0 && !message.content.includes("\ufffd"));
      assert.equal(message.refusal, null);
      assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

      const { chunks, texts } = await streamed({ messages });
      assert.deepEqual([...texts], [[0, message.content]]);
      assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
      assert.equal(chunks[0].choices[0].delta.role, "assistant");
      assert.equal(chunks.at(-1).choices[0].finish_reason, finish_reason);
    });
  }

  test("usage comes last when asked for", async () => {
    const whole = await create({ messages: ENGLISH });
    const { chunks } = await streamed({ messages: ENGLISH, stream_options: { include_usage: true } });
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.deepEqual(apartFromTheCache(chunks.at(-1).usage), apartFromTheCache(whole.usage));
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
  });

  test("three choices are answered whole and streamed", async () => {
    const parameters = { messages: KOREAN, n: 3, temperature: 1, seed: 11 };
    const whole = await create(parameters);
    assert.deepEqual(whole.choices.map((choice) => choice.index), [0, 1, 2]);
    const { texts } = await streamed(parameters);
    assert.deepEqual([...texts], whole.choices.map((choice) => [choice.index, choice.message.content]));
  });

  test("the stream helper gathers every choice", async () => {
    const parameters = { model, messages: ENGLISH, n: 2, temperature: 1, seed: 3 };
    const whole = await create(parameters);
    const stream = client.chat.completions.stream({ ...parameters, stream_options: { include_usage: true } });
    let pieces = 0;
    stream.on("content", () => (pieces += 1));
    const final = await stream.finalChatCompletion();
    assert.ok(pieces > 0);
    assert.deepEqual(final.choices.map((c) => c.message.content), whole.choices.map((c) => c.message.content));
    assert.deepEqual(apartFromTheCache(final.usage), apartFromTheCache(whole.usage));
  });

  test("a stop string ends the text wherever tokens end", async () => {
    const full = (await create({ messages: ENGLISH })).choices[0].message.content;
    for (let start = 1; start < Math.min(full.length - 3, 8); start += 1) {
      const stop = full.slice(start, start + 3);
      if (!stop.isWellFormed()) continue;
      const expected = full.slice(0, full.indexOf(stop));
      const [{ message, finish_reason }] = (await create({ messages: ENGLISH, stop })).choices;
      assert.deepEqual([message.content, finish_reason], [expected, "stop"]);
      const { texts } = await streamed({ messages: ENGLISH, stop: ["not in there", stop] });
      assert.equal(texts.get(0), expected);
    }
  });

  test("sixteen at once answer as one does", async () => {
    const expected = (await create({ messages: KOREAN })).choices[0].message.content;
    const wholes = Array.from({ length: 8 }, async () => (await create({ messages: KOREAN })).choices[0].message.content);
    const streams = Array.from({ length: 8 }, async () => (await streamed({ messages: KOREAN })).texts.get(0));
    assert.deepEqual(new Set(await Promise.all([...wholes, ...streams])), new Set([expected]));
  });

  test("a seed makes sampling repeatable", async () => {
    const sample = async (seed) =>
      (await create({ messages: ENGLISH, temperature: 1.5, seed, max_completion_tokens: 24 })).choices[0].message.content;
    assert.equal(await sample(5), await sample(5));
    assert.ok(new Set(await Promise.all(Array.from({ length: 12 }, (_, seed) => sample(seed)))).size > 1);
  });

  test("a stream that is broken off does no harm", async () => {
    const stream = await create({ messages: ENGLISH, temperature: 2, stream: true });
    for await (const _ of stream) break;
    assert.ok((await create({ messages: ENGLISH })).choices[0].message.content);
  });

  test("a second equal prompt is found in the cache, under its key only", async () => {
    const content = Array.from({ length: 40 }, (_, i) => `Board ${i} of the floor is ${7 * i} cm long.`).join(" ");
    const ask = async (parameters) => {
      const asked = { messages: [{ role: "user", content }], max_completion_tokens: 8, ...parameters };
      const { choices, usage } = await create(asked);
      const { chunks, texts } = await streamed({ ...asked, stream_options: { include_usage: true } });
      assert.equal(texts.get(0), choices[0].message.content);
      const [first, second] = [usage, chunks.at(-1).usage];
      assert.equal(second.prompt_tokens, first.prompt_tokens);
      assert.equal(first.prompt_tokens_details.cached_tokens, 0);
      assert.ok(second.prompt_tokens_details.cached_tokens > first.prompt_tokens / 2);
      assert.ok(second.prompt_tokens_details.cached_tokens < first.prompt_tokens);
    };
    await ask({ prompt_cache_key: randomUUID() });
    await ask({ prompt_cache_key: randomUUID() });
    await ask({ cache_salt: randomUUID() });
  });

  test("an answer names the tier in which it was served", async () => {
    const tier = async (parameters) =>
      (await create({ messages: ENGLISH, max_completion_tokens: 1, ...parameters })).service_tier;
    assert.equal(await tier({}), "default");
    assert.equal(await tier({ service_tier: "auto" }), "default");
    assert.equal(await tier({ service_tier: "flex" }), "flex");
    assert.equal(await tier({ priority: 5 }), "flex");
    assert.equal(await tier({ service_tier: "priority" }), "default");
    const { chunks } = await streamed({ messages: ENGLISH, max_completion_tokens: 1, service_tier: "flex" });
    assert.ok(chunks.length > 0 && chunks.every((chunk) => chunk.service_tier === "flex"));
  });

  test("developer, text parts and nulls are understood", async () => {
    const content = [{ type: "text", text: "Hello!" }];
    const messages = [{ role: "developer", content: "You answer briefly." }, { role: "user", content }];
    const completion = await create({ messages, stop: null, n: null, seed: null, max_completion_tokens: 4 });
    assert.ok(completion.usage.completion_tokens <= 4);
  });

  test("request ids are made and kept", async () => {
    const made = await create({ messages: ENGLISH, max_completion_tokens: 1 });
    assert.ok(made._request_id);
    const kept = await client.chat.completions.create(
      { model, messages: ENGLISH, max_completion_tokens: 1 },
      { headers: { "x-request-id": "kept-1.a_B" } },
    );
    assert.equal(kept._request_id, "kept-1.a_B");
  });

  test("models are listed and retrieved", async () => {
    const { data } = await client.models.list();
    assert.deepEqual(data.map((entry) => entry.id), [model]);
    assert.equal((await client.models.retrieve(model)).object, "model");
  });
});

describe("failures arrive as typed errors", () => {
  const is = (type, code) => (error) => {
    assert.ok(error instanceof type, `${error}`);
    assert.ok(error.requestID);
    assert.deepEqual(Object.keys(error.error).sort(), ["code", "message", "param", "type"]);
    if (code) assert.equal(error.code, code);
    return true;
  };

  test("a wrong key", async () => {
    await assert.rejects(clientOf(keyed, "sk-wrong").models.list(), is(OpenAI.AuthenticationError, "invalid_api_key"));
    assert.equal((await clientOf(keyed, "sk-two").models.list()).data.length, 1);
  });

  test("an unknown model", async () => {
    const asked = create({ model: "no-such-model", messages: ENGLISH });
    await assert.rejects(asked, is(OpenAI.NotFoundError, "model_not_found"));
  });

  test("a prompt that is too long", async () => {
    const messages = [{ role: "user", content: "마루 floor ".repeat(20_000) }];
    await assert.rejects(create({ messages }), is(OpenAI.BadRequestError, "context_length_exceeded"));
    await assert.rejects(create({ messages, stream: true }), is(OpenAI.BadRequestError, "context_length_exceeded"));
  });

  for (const [param, value] of [["temperature", 3], ["n", 0], ["messages", []], ["stop", Array(17).fill("x")], ["prompt_cache_key", "k".repeat(65)], ["service_tier", "gold"]]) {
    test(`a bad ${param}`, async () => {
      await assert.rejects(create({ messages: ENGLISH, [param]: value }), (error) => {
        assert.ok(is(OpenAI.BadRequestError)(error));
        assert.ok(error.param.startsWith(param));
        return true;
      });
    });
  }
});
