/* SDL2's functions, loaded when a window or sound is opened: linked, it and the forty libraries that it brings along
 * would be in every ringer, and cost each start 5 ms.
 *
 * Behind this header the functions have their names, as ever.
 */
#pragma once

#include <SDL.h>
#include <SDL_syswm.h>
#include <glib.h>

#include "types.h"

#define LOADED_FUNCTIONS(X) \
    X(SDL_CloseAudioDevice) \
    X(SDL_CreateRGBSurfaceWithFormat) \
    X(SDL_CreateWindow) \
    X(SDL_DestroyWindow) \
    X(SDL_FillRect) \
    X(SDL_FreeSurface) \
    X(SDL_GetClipboardText) \
    X(SDL_GetDisplayDPI) \
    X(SDL_GetError) \
    X(SDL_GetModState) \
    X(SDL_GetWindowDisplayIndex) \
    X(SDL_GetWindowFlags) \
    X(SDL_GetWindowSize) \
    X(SDL_GetWindowSurface) \
    X(SDL_GetWindowWMInfo) \
    X(SDL_HasClipboardText) \
    X(SDL_InitSubSystem) \
    X(SDL_MapRGB) \
    X(SDL_OpenAudioDevice) \
    X(SDL_PauseAudioDevice) \
    X(SDL_PollEvent) \
    X(SDL_QuitSubSystem) \
    X(SDL_SetClipboardText) \
    X(SDL_SetHint) \
    X(SDL_SetRelativeMouseMode) \
    X(SDL_SetWindowFullscreen) \
    X(SDL_SetWindowKeyboardGrab) \
    X(SDL_SetWindowSize) \
    X(SDL_SetWindowTitle) \
    X(SDL_ShowCursor) \
    X(SDL_SoftStretchLinear) \
    X(SDL_StartTextInput) \
    X(SDL_StopTextInput) \
    X(SDL_UpdateWindowSurface) \
    X(SDL_UpdateWindowSurfaceRects) \
    X(SDL_UpperBlitScaled) \
    X(SDL_free)

#define LOADED_MEMBER(name) __typeof__(&(name)) name##_;
extern struct sdl_functions {
    LOADED_FUNCTIONS(LOADED_MEMBER)
} sdl;

/* False with a sentence where the library is not there, or is too old; what: "a window", instead: what the user may do
 * without it. Signals stay ours. */
bool sdl_load(const char *what, const char *instead, GError **error);

#ifndef SDL_LOAD_C
#define SDL_CloseAudioDevice           sdl.SDL_CloseAudioDevice_
#define SDL_CreateRGBSurfaceWithFormat sdl.SDL_CreateRGBSurfaceWithFormat_
#define SDL_CreateWindow               sdl.SDL_CreateWindow_
#define SDL_DestroyWindow              sdl.SDL_DestroyWindow_
#define SDL_FillRect                   sdl.SDL_FillRect_
#define SDL_FreeSurface                sdl.SDL_FreeSurface_
#define SDL_GetClipboardText           sdl.SDL_GetClipboardText_
#define SDL_GetDisplayDPI              sdl.SDL_GetDisplayDPI_
#define SDL_GetError                   sdl.SDL_GetError_
#define SDL_GetModState                sdl.SDL_GetModState_
#define SDL_GetWindowDisplayIndex      sdl.SDL_GetWindowDisplayIndex_
#define SDL_GetWindowFlags             sdl.SDL_GetWindowFlags_
#define SDL_GetWindowSize              sdl.SDL_GetWindowSize_
#define SDL_GetWindowSurface           sdl.SDL_GetWindowSurface_
#define SDL_GetWindowWMInfo            sdl.SDL_GetWindowWMInfo_
#define SDL_HasClipboardText           sdl.SDL_HasClipboardText_
#define SDL_InitSubSystem              sdl.SDL_InitSubSystem_
#define SDL_MapRGB                     sdl.SDL_MapRGB_
#define SDL_OpenAudioDevice            sdl.SDL_OpenAudioDevice_
#define SDL_PauseAudioDevice           sdl.SDL_PauseAudioDevice_
#define SDL_PollEvent                  sdl.SDL_PollEvent_
#define SDL_QuitSubSystem              sdl.SDL_QuitSubSystem_
#define SDL_SetClipboardText           sdl.SDL_SetClipboardText_
#define SDL_SetHint                    sdl.SDL_SetHint_
#define SDL_SetRelativeMouseMode       sdl.SDL_SetRelativeMouseMode_
#define SDL_SetWindowFullscreen        sdl.SDL_SetWindowFullscreen_
#define SDL_SetWindowKeyboardGrab      sdl.SDL_SetWindowKeyboardGrab_
#define SDL_SetWindowSize              sdl.SDL_SetWindowSize_
#define SDL_SetWindowTitle             sdl.SDL_SetWindowTitle_
#define SDL_ShowCursor                 sdl.SDL_ShowCursor_
#define SDL_SoftStretchLinear          sdl.SDL_SoftStretchLinear_
#define SDL_StartTextInput             sdl.SDL_StartTextInput_
#define SDL_StopTextInput              sdl.SDL_StopTextInput_
#define SDL_UpdateWindowSurface        sdl.SDL_UpdateWindowSurface_
#define SDL_UpdateWindowSurfaceRects   sdl.SDL_UpdateWindowSurfaceRects_
#define SDL_UpperBlitScaled            sdl.SDL_UpperBlitScaled_
#define SDL_free                       sdl.SDL_free_
#endif
