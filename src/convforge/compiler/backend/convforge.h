#ifndef CONVFORGE_H
#define CONVFORGE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CF_ABI @ABI@

#if defined(_WIN32)
#define CF_API __declspec(dllexport)
#else
#define CF_API __attribute__((visibility("default")))
#endif

/* What functions that return an int return where nothing else is said. */
enum {
    CF_OK = 0,
    CF_IMAGE_SIZE = 1,       /* an image without pixels, or larger than the preprocessing takes */
    CF_NO_PREPROCESSING = 2, /* the artifact is of a bare network: it takes tensors, no images */
    CF_SELFTEST = 3,         /* this machine computes something else than the model did */
    CF_NO_LAYER = 4,         /* there is no layer of this number */
    CF_NO_HEAD = 5,          /* the layers do not end in a head of float32 that is known as one */
    CF_NO_OUTPUT = 6         /* there is no output of this number */
};

typedef struct cf_context cf_context;

/* Version of this interface that the artifact was built with; compare with CF_ABI. */
CF_API int cf_abi(void);

/* All memory that computing needs; NULL when there is none. A context belongs to one thread at a
 * time; it computes with as many as the artifact was compiled for. In a process that was forked it
 * starts those again that it lost. */
CF_API cf_context *cf_create(void);

/* The same at a given level, "avx2" say, NULL for the best one, and with this many threads, 0 for
 * the artifact's own number; NULL too where the CPU or the artifact lacks the level or the threads.
 */
CF_API cf_context *cf_create_with(const char *level, int threads);

CF_API void cf_destroy(cf_context *context);

/* Name of the instruction-set level that the context runs at, its number of threads, and the bytes
 * that it holds beside the weights. */
CF_API const char *cf_level_name(const cf_context *context);
CF_API int cf_threads(const cf_context *context);
CF_API int64_t cf_context_bytes(const cf_context *context);

/* Lengths of the axes of the network's input and output, the batch first, 0 behind the last. */
CF_API const int32_t *cf_input_shape(void);
CF_API const int32_t *cf_output_shape(void);

/* Numbers in the whole input and in the whole output. */
CF_API int cf_input_floats(void);
CF_API int cf_output_floats(void);

/* The classifier's card: network, class names, preprocessing, metrics, as JSON in UTF-8; NULL in
 * an artifact of a bare network. Number of its classes; 0 there. */
CF_API const char *cf_card(void);
CF_API int cf_classes(void);

/* The network alone: input[cf_input_floats()] after preprocessing to output[cf_output_floats()]. */
CF_API int cf_run(cf_context *context, const float *input, float *output);

/* One image, rows of 8-bit RGB without gaps, to probabilities[cf_classes()]. CF_IMAGE_SIZE,
 * CF_NO_PREPROCESSING. */
CF_API int cf_predict(cf_context *context, const uint8_t *rgb, int32_t width, int32_t height,
                      float *probabilities);

/* What the network is given of an image: input[cf_input_floats()]. CF_IMAGE_SIZE,
 * CF_NO_PREPROCESSING. */
CF_API int cf_preprocess_image(cf_context *context, const uint8_t *rgb, int32_t width,
                               int32_t height, float *input);

/* Computes an input that the artifact knows the model's own answer to, through the preprocessing
 * where there is one. CF_SELFTEST where an output is off by over 1/10000 of the largest. */
CF_API int cf_selftest(cf_context *context);

/* The same as cf_run, with the time that each of the cf_layers() layers took, in nanoseconds. */
CF_API int cf_profile(cf_context *context, const float *input, float *output,
                      int64_t *nanoseconds);

/* A layer's name in the model, the kernel that computes it, and its multiply-adds; NULL and 0
 * where there is no such layer. */
CF_API int cf_layers(void);
CF_API const char *cf_layer_name(int layer);
CF_API const char *cf_layer_kernel(int layer);
CF_API int64_t cf_layer_macs(int layer);

/* What a layer does, as JSON: shapes, windows, parameters, receptive field, the layers that it
 * reads; NULL where there is no such layer. */
CF_API const char *cf_layer_facts(int layer);

/* The map that a layer gives for an input, [N, C, H, W] or [N, F]: maps[cf_layer_floats(layer)].
 * Only the layers up to it are computed: memory is used again, so its map is there then alone.
 * Nothing lies between operations that one layer does together. CF_NO_LAYER. */
CF_API int64_t cf_layer_floats(int layer);
CF_API int cf_feature_maps(cf_context *context, const float *input, int layer, float *maps);

/* Grad-CAM (Selvaraju et al. 2017): what the places of the last maps before the head give to one of
 * the outputs, a class's logit, for an input; rows * columns of cf_grad_cam_shape(), which is
 * {rows, columns, 0}. It is computed from the outputs for changed maps, no gradient: exact where the
 * head is an average and a weighted sum. CF_NO_HEAD, where the shape is {0}; CF_NO_OUTPUT. */
CF_API const int32_t *cf_grad_cam_shape(void);
CF_API int cf_grad_cam(cf_context *context, const float *input, int output, float *heat);

#ifdef __cplusplus
}
#endif

#endif
