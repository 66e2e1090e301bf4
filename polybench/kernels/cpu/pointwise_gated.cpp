// SwiGLU and its kin: curve(gate) value, gate and value being the two halves of a row.
#include "curves.h"
#include "parallel.h"
#include "passes.h"

namespace {

struct Gradient {
  Vector gate, value;
};

template <Point (*CURVE)(Vector)> struct Gated {
  explicit Gated(const Call&) {}
  Vector product(Vector gate, Vector value) const { return CURVE(gate).value * value; }
  Gradient gradient(Vector gate, Vector value, Vector dy) const {
    Point at = CURVE(gate);
    return {dy * value * at.slope, dy * at.value};
  }
};

// gate logistic(alpha gate) (value + shift), gate at most `limit`, value within +-`limit`.
struct Clamped {
  float alpha, limit, shift;

  explicit Clamped(const Call& call)
      : alpha(call.constants[0]), limit(call.constants[1]), shift(call.constants[2]) {}

  Point curve(Vector gate) const {
    Vector held = at_most(gate, limit);
    Logistic at = logistic(alpha * held);
    return {held * at.at, at.at + held * at.slope * alpha};
  }

  Vector shifted(Vector value) const { return at_least(at_most(value, limit), -limit) + shift; }

  Vector product(Vector gate, Vector value) const { return curve(gate).value * shifted(value); }

  Gradient gradient(Vector gate, Vector value, Vector dy) const {
    Point at = curve(gate);
    return {choose(gate <= limit, dy * shifted(value) * at.slope, Vector{}),
            choose(magnitude(value) <= limit, dy * at.value, Vector{})};
  }
};

template <class T> inline void fetch_pair(const T* from) {
  for (size_t byte = 0; byte < PAIR * sizeof(T); byte += 64) __builtin_prefetch((const char*)from + byte, 0, 3);
}

template <class T, class Curve>
inline void forward_row(const T* gate, T* y, int64_t width, const Curve& curve, bool streamed) {
  const T* value = gate + width;
  auto product = [&](Pair g, Pair v) { return Pair{curve.product(g.a, v.a), curve.product(g.b, v.b)}; };
  int64_t i = 0;
  for (; i + PAIR <= width; i += PAIR)
    fetch_pair(gate + 2 * width + i), fetch_pair(value + 2 * width + i),
        write_pair(y + i, product(load_pair(gate + i), load_pair(value + i)), streamed);
  if (int rest = width - i) store_pair(y + i, product(load_pair(gate + i, rest), load_pair(value + i, rest)), rest);
}

template <class T, class Curve>
inline void backward_row(const T* gate, const T* dy, T* dgate, int64_t width, const Curve& curve, bool streamed) {
  const T* value = gate + width;
  T* dvalue = dgate + width;
  int64_t i = 0;
  for (; i + PAIR <= width; i += PAIR) {
    fetch_pair(gate + 2 * width + i), fetch_pair(value + 2 * width + i);
    Pair g = load_pair(gate + i), v = load_pair(value + i), over = load_pair(dy + i);
    Gradient a = curve.gradient(g.a, v.a, over.a), b = curve.gradient(g.b, v.b, over.b);
    write_pair(dgate + i, {a.gate, b.gate}, streamed);
    write_pair(dvalue + i, {a.value, b.value}, streamed);
  }
  if (int rest = width - i) {
    Pair g = load_pair(gate + i, rest), v = load_pair(value + i, rest), over = load_pair(dy + i, rest);
    Gradient a = curve.gradient(g.a, v.a, over.a), b = curve.gradient(g.b, v.b, over.b);
    store_pair(dgate + i, {a.gate, b.gate}, rest);
    store_pair(dvalue + i, {a.value, b.value}, rest);
  }
}

// Rows whose length leaves the next one unaligned are not streamed.
template <class T> inline bool rows_stream(const Call& call, int64_t branches) {
  int64_t row = call.width * sizeof(T);
  return row % 64 == 0 && streams(call.out, call.rows * row * branches);
}

template <class Curve> int forward(const Call& call) {
  return by_type(call.type, [&](auto type) {
    using T = decltype(type);
    Curve curve(call);
    bool streamed = rows_stream<T>(call, 1);
    divided(call.rows, 1, call.threads, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        forward_row((const T*)call.x + 2 * row * call.width, (T*)call.out + row * call.width, call.width, curve,
                    streamed);
      if (streamed) drained();
    });
  });
}

template <class Curve> int backward(const Call& call) {
  return by_type(call.type, [&](auto type) {
    using T = decltype(type);
    Curve curve(call);
    bool streamed = rows_stream<T>(call, 2);
    divided(call.rows, 1, call.threads, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; row++)
        backward_row((const T*)call.x + 2 * row * call.width, (const T*)call.dy + row * call.width,
                     (T*)call.out + 2 * row * call.width, call.width, curve, streamed);
      if (streamed) drained();
    });
  });
}

}  // namespace

extern "C" {
int swiglu_forward(const Call* call) { return forward<Gated<silu>>(*call); }
int swiglu_backward(const Call* call) { return backward<Gated<silu>>(*call); }
int geglu_forward(const Call* call) { return forward<Gated<gelu>>(*call); }
int geglu_backward(const Call* call) { return backward<Gated<gelu>>(*call); }
int geglu_tanh_forward(const Call* call) { return forward<Gated<gelu_tanh>>(*call); }
int geglu_tanh_backward(const Call* call) { return backward<Gated<gelu_tanh>>(*call); }
int swiglu_clamped_forward(const Call* call) { return forward<Clamped>(*call); }
int swiglu_clamped_backward(const Call* call) { return backward<Clamped>(*call); }
}
