/* -netdev user: options into libslirp's struct. Defaults are QEMU's: 10.0.2.0/24, gateway .2, DNS .3, DHCP from .15;
 * fec0::/64, gateway ::2, DNS ::3. */
#include "user_config.h"

#include <arpa/inet.h>
#include <string.h>

#define FAIL(...) (g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL, __VA_ARGS__), false)

bool user_config_each(struct keyvalues *options, const char *key,
                      bool (*each)(void *opaque, const char *value, GError **error), void *opaque, GError **error)
{
    size_t len = strlen(key);
    for (unsigned i = 0; i < options->item->len; i++) {
        struct keyvalue *item = g_ptr_array_index(options->item, i);
        bool is_it = strcmp(item->key, key) == 0;
        if (!is_it && strncmp(item->key, key, len) == 0 && item->key[len] == '.')
            is_it = g_ascii_isdigit(item->key[len + 1]) &&
                    (g_str_has_suffix(item->key, ".str") || !strchr(item->key + len + 1, '.'));
        if (!is_it)
            continue;
        item->used = true;
        if (!each(opaque, item->value, error))
            return false;
    }
    return true;
}

static bool get_switch(struct keyvalues *options, const char *key, bool preset, bool *on, GError **error)
{
    const char *text = keyvalues_get(options, key);
    *on = preset;
    return !text || value_is_switch(text, on) || FAIL("user: '%s' is on or off, not '%s'", key, text);
}

static bool get_ipv4(struct keyvalues *options, const char *key, struct in_addr *address, GError **error)
{
    const char *text = keyvalues_get(options, key);
    return !text || inet_aton(text, address) || FAIL("user: '%s' is an IPv4 address, not '%s'", key, text);
}

static bool get_ipv6(struct keyvalues *options, const char *key, struct in6_addr *address, GError **error)
{
    const char *text = keyvalues_get(options, key);
    return !text || inet_pton(AF_INET6, text, address) == 1 ||
           FAIL("user: '%s' is an IPv6 address, not '%s'", key, text);
}

/* "192.168.2.0/24", "10.1.0.0/255.255.0.0", "10.0.2.9" with the mask of its class. */
static bool net_parse(const char *text, SlirpConfig *config, GError **error)
{
    char **parts = g_strsplit(text, "/", 2);
    bool ok = inet_aton(parts[0], &config->vnetwork);
    uint32_t net = ntohl(config->vnetwork.s_addr), mask;
    uint64_t bits;
    if (ok && parts[1] && value_is_number(parts[1], 32, &bits)) {
        ok = bits >= 1;
        config->vnetmask.s_addr = htonl(ok ? ~0u << (32 - bits) : 0);
    } else if (ok && parts[1]) {
        ok = inet_aton(parts[1], &config->vnetmask);
    } else if (ok) {
        mask = net < 0x80000000u                    ? 0xff000000u
               : (net & 0xfff00000u) == 0xac100000u ? 0xfff00000u /* private: 172.16/12 */
               : net < 0xc0000000u                  ? 0xffff0000u
               : (net & 0xffff0000u) == 0xc0a80000u ? 0xffff0000u /* private: 192.168/16 */
                                                    : 0xffffff00u;
        config->vnetmask.s_addr = htonl(mask);
    }
    g_strfreev(parts);
    mask = ntohl(config->vnetmask.s_addr);
    if (!ok || (~mask & (~mask + 1)) || ~mask < 3)
        return FAIL("user: 'net' is a network such as 10.0.2.0/24, not '%s'", text);
    config->vnetwork.s_addr &= config->vnetmask.s_addr;
    return true;
}

static bool inside(const SlirpConfig *config, struct in_addr address)
{
    return (address.s_addr & config->vnetmask.s_addr) == config->vnetwork.s_addr &&
           (address.s_addr & ~config->vnetmask.s_addr) != 0 && ~(address.s_addr | config->vnetmask.s_addr) != 0;
}

static struct in_addr numbered(const SlirpConfig *config, uint32_t number)
{
    return (struct in_addr){htonl(ntohl(config->vnetwork.s_addr) | (number & ~ntohl(config->vnetmask.s_addr)))};
}

static bool ipv4_parse(struct keyvalues *options, SlirpConfig *config, GError **error)
{
    const char *net = keyvalues_get(options, "net");
    if (!net_parse(net ? net : "10.0.2.0/24", config, error))
        return false;
    config->vhost = numbered(config, 0x0202);
    config->vnameserver = numbered(config, 0x0203);
    config->vdhcp_start = numbered(config, 0x020f);
    if (!get_ipv4(options, "host", &config->vhost, error) || !get_ipv4(options, "dns", &config->vnameserver, error) ||
        !get_ipv4(options, "dhcpstart", &config->vdhcp_start, error))
        return false;
    if (!inside(config, config->vhost))
        return FAIL("user: 'host' is not an address in the network");
    if (!inside(config, config->vdhcp_start) || config->vdhcp_start.s_addr == config->vhost.s_addr ||
        config->vdhcp_start.s_addr == config->vnameserver.s_addr)
        return FAIL("user: 'dhcpstart' is not an address in the network that is free");
    if (config->vhost.s_addr == config->vnameserver.s_addr)
        return FAIL("user: 'dns' is the gateway's address; it has to be another one");
    return true;
}

static bool ipv6_parse(struct keyvalues *options, SlirpConfig *config, GError **error)
{
    const char *net = keyvalues_get(options, "ipv6-net"), *len = keyvalues_get(options, "ipv6-prefixlen");
    uint64_t bits = 64;
    config->vprefix_addr6 = (struct in6_addr){{{0xfe, 0xc0}}};
    if (net) {
        char **parts = g_strsplit(net, "/", 2);
        bool ok = inet_pton(AF_INET6, parts[0], &config->vprefix_addr6) == 1 &&
                  (!parts[1] || value_is_number(parts[1], 126, &bits));
        g_strfreev(parts);
        if (!ok)
            return FAIL("user: 'ipv6-net' is a network such as fec0::/64, not '%s'", net);
    } else if (!get_ipv6(options, "ipv6-prefix", &config->vprefix_addr6, error)) {
        return false;
    }
    if (len && !value_is_number(len, 126, &bits))
        return FAIL("user: 'ipv6-prefixlen' is a number from 0 to 126, not '%s'", len);
    config->vprefix_len = (uint8_t)bits;
    config->vhost6 = config->vnameserver6 = config->vprefix_addr6;
    config->vhost6.s6_addr[15] |= 2;
    config->vnameserver6.s6_addr[15] |= 3;
    return get_ipv6(options, "ipv6-host", &config->vhost6, error) &&
           get_ipv6(options, "ipv6-dns", &config->vnameserver6, error);
}

static bool search_add(void *opaque, const char *value, GError **error)
{
    g_ptr_array_add(opaque, (void *)value);
    return true;
}

bool user_config_parse(struct keyvalues *options, struct user_config *config, GError **error)
{
    SlirpConfig *slirp = &config->slirp;
    bool restricted, ipv4, ipv6;
    memset(config, 0, sizeof(*config));
    slirp->version = 4;
    if (!get_switch(options, "restrict", false, &restricted, error) ||
        !get_switch(options, "ipv6", true, &ipv6, error) ||
        !get_switch(options, "ipv4", !keyvalues_get(options, "ipv6") || !ipv6, &ipv4, error))
        return false;
    if (keyvalues_get(options, "ipv4") && !keyvalues_get(options, "ipv6"))
        ipv6 = !ipv4;
    if (!ipv4 && !ipv6)
        return FAIL("user: neither IPv4 nor IPv6 is left");
    slirp->restricted = restricted;
    slirp->in_enabled = ipv4;
    slirp->in6_enabled = ipv6;
    if (!ipv4_parse(options, slirp, error) || !ipv6_parse(options, slirp, error))
        return false;
    slirp->vhostname = keyvalues_get(options, "hostname");
    slirp->tftp_path = keyvalues_get(options, "tftp");
    slirp->tftp_server_name = keyvalues_get(options, "tftp-server-name");
    slirp->bootfile = keyvalues_get(options, "bootfile");
    slirp->vdomainname = keyvalues_get(options, "domainname");
    if (slirp->vhostname && strlen(slirp->vhostname) > 255)
        return FAIL("user: 'hostname' has at most 255 characters");
    if (slirp->vdomainname && strlen(slirp->vdomainname) > 255)
        return FAIL("user: 'domainname' has at most 255 characters");
    if (slirp->bootfile && strlen(slirp->bootfile) > 127)
        return FAIL("user: 'bootfile' has at most 127 characters");
    if (slirp->tftp_path && !g_file_test(slirp->tftp_path, G_FILE_TEST_IS_DIR))
        return FAIL("user: tftp=%s is not a folder", slirp->tftp_path);
    config->smb = g_strdup(keyvalues_get(options, "smb"));
    config->smb_server = numbered(slirp, 0x0204);
    if (!get_ipv4(options, "smbserver", &config->smb_server, error))
        return false;
    if (config->smb && !g_file_test(config->smb, G_FILE_TEST_IS_DIR))
        return FAIL("user: smb=%s is not a folder", config->smb);
    GPtrArray *search = g_ptr_array_new();
    user_config_each(options, "dnssearch", search_add, search, NULL);
    if (search->len) {
        g_ptr_array_add(search, NULL);
        config->search = (const char **)g_ptr_array_steal(search, NULL);
        slirp->vdnssearch = config->search;
    }
    g_ptr_array_unref(search);
    return true;
}

/* --- Forwarding --- */

/* "[host]:port" up to where end points, or the end. IPv6 is in brackets. */
static bool end_parse(const char *text, size_t len, bool port_may_be_0, struct sockaddr_storage *at, socklen_t *size)
{
    char *copy = g_strndup(text, len), *colon = strrchr(copy, ':'), *host = copy;
    struct sockaddr_in *in = (struct sockaddr_in *)at;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)at;
    uint64_t port = 0;
    bool ok = colon && value_is_number(colon + 1, 65535, &port) && (port || port_may_be_0);
    memset(at, 0, sizeof(*at));
    if (ok && host[0] == '[') {
        ok = colon[-1] == ']';
        colon[-1] = 0;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)port);
        ok = ok && (!host[1] || inet_pton(AF_INET6, host + 1, &in6->sin6_addr) == 1);
        *size = sizeof(*in6);
    } else if (ok) {
        *colon = 0;
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)port);
        ok = !*host || inet_aton(host, &in->sin_addr);
        *size = sizeof(*in);
    }
    g_free(copy);
    return ok;
}

bool forward_parse(const char *rule, bool has_guest, struct forward *forward, GError **error)
{
    const char *at = strchr(rule, ':'), *dash;
    size_t word = at ? (size_t)(at - rule) : 0;
    bool ok = at && (word == 0 || (word == 3 && (strncmp(rule, "tcp", 3) == 0 || strncmp(rule, "udp", 3) == 0)));
    if (ok) {
        forward->is_udp = word == 3 && rule[0] == 'u';
        at++;
        dash = has_guest ? strchr(at, '-') : at + strlen(at);
        ok = dash && end_parse(at, (size_t)(dash - at), true, &forward->host, &forward->host_len) &&
             (!has_guest || end_parse(dash + 1, strlen(dash + 1), false, &forward->guest, &forward->guest_len));
    }
    return ok || FAIL("'%s' is not a rule such as %s", rule,
                      has_guest ? "tcp:127.0.0.1:2222-:22 (protocol, host's address and port, guest's)"
                                : "tcp:127.0.0.1:2222");
}
